package example;

import com.nimbusds.jose.JWSAlgorithm;
import com.nimbusds.jose.jwk.source.JWKSource;
import com.nimbusds.jose.jwk.source.JWKSourceBuilder;
import com.nimbusds.jose.proc.JWSVerificationKeySelector;
import com.nimbusds.jose.proc.SecurityContext;
import com.nimbusds.jwt.proc.DefaultJWTProcessor;
import jakarta.servlet.FilterChain;
import jakarta.servlet.ServletException;
import jakarta.servlet.ServletRequest;
import jakarta.servlet.ServletResponse;
import jakarta.servlet.http.HttpServletResponse;
import java.io.IOException;
import java.net.MalformedURLException;
import java.net.URI;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import org.springframework.boot.context.properties.ConfigurationProperties;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.security.authentication.AuthenticationManager;
import org.springframework.security.authentication.AuthenticationServiceException;
import org.springframework.security.config.annotation.web.builders.HttpSecurity;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.Jwt;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtDecoder;
import org.springframework.security.oauth2.jwt.JwtValidators;
import org.springframework.security.oauth2.jwt.NimbusJwtDecoder;
import org.springframework.security.oauth2.server.resource.authentication.JwtAuthenticationProvider;
import org.springframework.security.oauth2.server.resource.authentication.JwtIssuerAuthenticationManagerResolver;
import org.springframework.security.oauth2.server.resource.web.authentication.BearerTokenAuthenticationFilter;
import org.springframework.security.web.SecurityFilterChain;

/**
 * Accepts the access tokens of both Regions' user pools, with Spring Security 6.
 *
 * <p>What it trusts stands in application.yml; `surrogatectl trust --for spring` prints that.
 *
 * <p>The key sources are made here, since NimbusJwtDecoder.withJwkSetUri forgets its keys after five
 * minutes and then fails with an issuer that cannot be reached: the tokens that a lost Region
 * issued before would be refused.
 */
@Configuration
@EnableConfigurationProperties(SurrogateTrust.Properties.class)
class SurrogateTrust {

    /** surrogate.trust in application.yml. */
    @ConfigurationProperties("surrogate.trust")
    record Properties(List<String> scopes, List<Issuer> issuers) {}

    /** One issuer; either anyAppClient is true, or appClients lists those that may come. */
    record Issuer(String issuer, String jwkSetUri, boolean anyAppClient, List<String> appClients) {}

    @Bean
    SecurityFilterChain surrogateTokens(HttpSecurity http, Properties trust) throws Exception {
        Map<String, AuthenticationManager> managers = new HashMap<>();
        for (Issuer issuer : trust.issuers()) {
            JwtDecoder decoder = decoder(issuer, trust.scopes());
            managers.put(issuer.issuer(), new JwtAuthenticationProvider(decoder)::authenticate);
        }
        // An issuer that is not in the map is refused before anything is fetched.
        var resolver = new JwtIssuerAuthenticationManagerResolver(managers::get);
        return http.authorizeHttpRequests(requests -> requests.anyRequest().authenticated())
                .oauth2ResourceServer(server -> server.authenticationManagerResolver(resolver))
                .addFilterBefore(SurrogateTrust::unavailable, BearerTokenAuthenticationFilter.class)
                .build();
    }

    /**
     * Answers 503 where an issuer's keys could not be had: the token may be good, and a client that
     * gets 401 asks for another one.
     */
    private static void unavailable(ServletRequest request, ServletResponse response, FilterChain chain)
            throws IOException, ServletException {
        try {
            chain.doFilter(request, response);
        } catch (AuthenticationServiceException withoutKeys) {
            HttpServletResponse answer = (HttpServletResponse) response;
            answer.setHeader("Retry-After", "10");
            answer.setStatus(HttpServletResponse.SC_SERVICE_UNAVAILABLE);
        }
    }

    private static JwtDecoder decoder(Issuer issuer, List<String> scopes) throws MalformedURLException {
        JWKSource<SecurityContext> keys =
                JWKSourceBuilder.create(URI.create(issuer.jwkSetUri()).toURL())
                        .retrying(true)
                        .outageTolerantForever()
                        .build();
        DefaultJWTProcessor<SecurityContext> processor = new DefaultJWTProcessor<>();
        processor.setJWSKeySelector(new JWSVerificationKeySelector<>(JWSAlgorithm.RS256, keys));
        // Claims are Spring's to check, below.
        processor.setJWTClaimsSetVerifier((claims, context) -> {});
        NimbusJwtDecoder decoder = new NimbusJwtDecoder(processor);
        decoder.setJwtValidator(
                new DelegatingOAuth2TokenValidator<Jwt>(
                        JwtValidators.createDefaultWithIssuer(issuer.issuer()),
                        // The default checks the time only if there is one.
                        new JwtClaimValidator<Instant>("exp", Objects::nonNull),
                        new JwtClaimValidator<String>("token_use", "access"::equals),
                        new JwtClaimValidator<String>("scope", scope -> granted(scope).containsAll(scopes)),
                        new JwtClaimValidator<String>(
                                "client_id",
                                client -> client != null
                                        && (issuer.anyAppClient() || issuer.appClients().contains(client)))));
        return decoder;
    }

    private static List<String> granted(String scope) {
        return scope == null ? List.of() : List.of(scope.split(" "));
    }
}
