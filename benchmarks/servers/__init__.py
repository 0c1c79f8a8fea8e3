"""Token servers, ours and others', as WSGI applications and one Node program."""
