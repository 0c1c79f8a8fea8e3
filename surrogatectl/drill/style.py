"""How the drill's page looks: light and dark, wide and narrow."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{--bg:#f6f7f9;--card:#fff;--ink:#1a2230;--soft:#5a6577;--line:#dfe3ea;
--primary:#3467c2;--secondary:#12877a;--refused:#aeb6c2;--error:#d9542b;--wrong:#8e2bb0;
--good:#157347;--goodbg:#e3f4ea;--badtext:#b3261e;--badbg:#fdeae8;
--outage:#fbe9e2;--standby:#e4f3f0}
@media (prefers-color-scheme:dark){:root{--bg:#12161d;--card:#1b212b;--ink:#e8ecf2;
--soft:#9eabbd;--line:#313a48;--primary:#6f9ef0;--secondary:#3fbfae;--refused:#5d6878;
--error:#f07f55;--wrong:#cf7cf0;--good:#6cd69c;--goodbg:#17352a;--badtext:#ff9a8f;
--badbg:#41211f;--outage:#35241f;--standby:#18302e}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,Helvetica,Arial,sans-serif}
main{max-width:62rem;margin:0 auto;padding:2.5rem 1.25rem 3rem}
h1{font-size:clamp(1.7rem,4.5vw,2.5rem);line-height:1.15;margin:.2rem 0 1rem;
letter-spacing:-.02em;text-wrap:balance}
h2{font-size:1.3rem;line-height:1.25;margin:0 0 1rem;text-wrap:balance}
h3{font-size:1rem;margin:1.25rem 0 .5rem;color:var(--soft)}
p{margin:0 0 1rem}
.kicker{color:var(--soft);font-size:.85rem;font-weight:600;margin:0}
.lead{font-size:1.1rem;max-width:46rem;color:var(--soft)}
.verdict{display:inline-block;font-size:1.15rem;font-weight:650;border-radius:.6rem;
padding:.5rem 1rem}
.verdict.good{background:var(--goodbg);color:var(--good)}
.verdict.bad{background:var(--badbg);color:var(--badtext)}
.good{color:var(--good)}.bad{color:var(--badtext)}
section{margin-top:1.25rem}
section:not(.tiles){background:var(--card);border:1px solid var(--line);border-radius:.9rem;
padding:1.5rem}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr));gap:.75rem}
.tile{background:var(--card);border:1px solid var(--line);border-radius:.9rem;
padding:.9rem 1rem}
section:not(.tiles) .tile{background:var(--bg);border-color:transparent}
.tile p{margin:0}
.tile .name{font-size:.85rem;color:var(--soft);line-height:1.3}
.tile .value{font-size:1.9rem;font-weight:650;letter-spacing:-.02em;line-height:1.3;
font-variant-numeric:tabular-nums;color:var(--ink)}
.tile .note{font-size:.8rem;color:var(--soft);line-height:1.35}
.tile.bad .value{color:var(--badtext)}
.failed{background:var(--badbg);color:var(--badtext);border-radius:.6rem;padding:.75rem 1rem;
overflow-wrap:anywhere}
figure{margin:1.25rem 0 0}
figcaption{font-size:.85rem;color:var(--soft)}
svg{display:block;width:100%;height:auto;font:12px system-ui,sans-serif;
font-variant-numeric:tabular-nums}
svg.narrow{display:none}
svg text{fill:var(--soft)}
svg .y{text-anchor:end}svg .x{text-anchor:middle}
svg .grid{stroke:var(--line)}
svg .phase.outage{fill:var(--outage)}svg .phase.standby{fill:var(--standby)}
svg rect.primary{fill:var(--primary)}svg rect.secondary{fill:var(--secondary)}
svg rect.refused{fill:var(--refused)}svg rect.error{fill:var(--error)}
svg rect.wrong{fill:var(--wrong)}
svg line.mark{stroke:var(--ink);stroke-dasharray:2 3;opacity:.55}
svg circle.mark{fill:var(--ink)}
svg text.mark{fill:var(--card);text-anchor:middle;font-weight:700}
svg .write{fill:var(--ink)}svg .write.lost{fill:none;stroke:var(--badtext);stroke-width:2}
.legend{list-style:none;display:flex;flex-wrap:wrap;gap:.25rem 1.1rem;padding:0;
margin:.4rem 0 0}
.legend i{display:inline-block;width:.8rem;height:.8rem;border-radius:.2rem;margin-right:.4rem;
vertical-align:-.08rem;font-style:normal;line-height:.8rem;text-align:center}
.legend .primary{background:var(--primary)}.legend .secondary{background:var(--secondary)}
.legend .refused{background:var(--refused)}.legend .error{background:var(--error)}
.legend .wrong{background:var(--wrong)}.legend .write{color:var(--ink)}
.moments{list-style:none;counter-reset:moment;padding:0;margin:1.25rem 0 0}
.moments li{counter-increment:moment;display:grid;grid-template-columns:1.5rem 4rem 1fr;
gap:.6rem;padding:.3rem 0;align-items:baseline}
.moments li::before{content:counter(moment);background:var(--ink);color:var(--card);
border-radius:50%;width:1.35rem;height:1.35rem;line-height:1.35rem;text-align:center;
font-size:.78rem;font-weight:700}
.at{color:var(--soft);font-variant-numeric:tabular-nums;white-space:nowrap;text-align:right}
details{margin-top:1rem}summary{cursor:pointer;font-weight:600}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;margin:.75rem 0;font-size:.95rem}
th,td{text-align:left;padding:.45rem .9rem .45rem 0;border-bottom:1px solid var(--line);
vertical-align:top}
th{font-weight:600;white-space:nowrap}td.at{text-align:left}
.promises ul{list-style:none;padding:0;margin:0}
.promises li{display:grid;grid-template-columns:1.5rem 1fr;gap:.4rem;padding:.4rem 0;
color:var(--ink)}
.promises .sign{font-weight:700}.promises .good .sign{color:var(--good)}
.promises .bad .sign,.promises .bad em{color:var(--badtext)}
em{font-style:normal;color:var(--soft);white-space:nowrap}
.promises em::before{content:"— "}
.nb{white-space:nowrap}
.away{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);
white-space:nowrap}
dl{margin:0;display:grid;grid-template-columns:minmax(8rem,11rem) 1fr;gap:.6rem 1.25rem}
dt{font-weight:600}dd{margin:0;color:var(--soft)}
footer{color:var(--soft);font-size:.85rem;margin-top:1.5rem}
code{font:.92em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
@media (max-width:640px){main{padding:1.5rem .9rem 2rem}section:not(.tiles){padding:1.1rem}
svg.wide{display:none}svg.narrow{display:block}
.tiles{grid-template-columns:1fr 1fr}.tile .value{font-size:1.55rem}
.moments li{grid-template-columns:1.4rem 3.2rem 1fr;gap:.4rem}
dl{grid-template-columns:1fr;gap:.1rem}dd{margin-bottom:.7rem}
em{white-space:normal}}
@media print{body{background:#fff}section,.tile{break-inside:avoid}}
"""
