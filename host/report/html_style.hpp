// The style sheet of the report.
#pragma once

#include <string_view>

namespace hourglass::report {

inline constexpr std::string_view style_sheet = R"css(
:root{--paper:#fff;--wash:#f5f7fa;--ink:#1c2430;--soft:#55606e;--line:#dde2e8;--accent:#0b5cad;
--good:#0b6b3a;--good-wash:#e3f4ea;--mixed:#7a5200;--mixed-wash:#fcf1d8;--bad:#a3231c;--bad-wash:#fce8e6;
--note:#0b5cad;--note-wash:#e8f1fb;color-scheme:light}
@media (prefers-color-scheme:dark){:root{--paper:#12161c;--wash:#1a2028;--ink:#e4e8ee;--soft:#a3adba;--line:#303944;
--accent:#7db8f5;--good:#7fd8a6;--good-wash:#143224;--mixed:#eec56d;--mixed-wash:#37290b;--bad:#ff9d94;
--bad-wash:#3d1a18;--note:#7db8f5;--note-wash:#152a42;color-scheme:dark}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;scroll-padding-top:1.5rem;-webkit-text-size-adjust:100%}
@media (prefers-reduced-motion:reduce){html{scroll-behavior:auto}}
body{margin:0;background:var(--paper);color:var(--ink);
font:1.0625rem/1.6 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif}
a{color:var(--accent);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--accent);outline-offset:2px}
.skip{position:absolute;left:-99rem}
.skip:focus{left:1rem;top:1rem;background:var(--paper);padding:.5rem 1rem;z-index:1}
.page{max-width:82rem;margin:0 auto;padding:0 2rem;display:grid;grid-template-columns:15rem minmax(0,1fr);
column-gap:3.5rem}
header,main,footer{grid-column:2;min-width:0}
header{padding:3.5rem 0 .5rem}
h1{font-size:2.5rem;line-height:1.15;letter-spacing:-.02em;margin:0 0 1rem;max-width:24ch;text-wrap:balance}
h2{font-size:1.65rem;line-height:1.25;letter-spacing:-.01em;margin:4rem 0 1rem;padding-top:1.25rem;
border-top:1px solid var(--line)}
h3{font-size:1.25rem;line-height:1.3;margin:2.75rem 0 .75rem}
h4{font-size:1.0625rem;margin:2rem 0 .5rem}
.lead{font-size:1.25rem;line-height:1.5;color:var(--soft)}
p,ul,.lead{max-width:68ch}
p{margin:0 0 1rem}
ul{margin:0 0 1rem;padding-left:1.25rem}
li{margin:.25rem 0}
code,pre{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;font-size:.9em}
code{background:var(--wash);border-radius:4px;padding:.1em .3em}
pre{background:var(--wash);border:1px solid var(--line);border-radius:8px;padding:1rem 1.25rem;overflow-x:auto;
line-height:1.45}
nav{grid-column:1;grid-row:1/span 3;font-size:.9rem;line-height:1.4}
nav>div{position:sticky;top:0;max-height:100vh;overflow-y:auto;padding:3.75rem 0 2rem}
nav h2{font-size:.8rem;letter-spacing:.06em;text-transform:uppercase;color:var(--soft);margin:0 0 .5rem;padding:0;
border:0}
nav ol{list-style:none;margin:0;padding:0}
nav ol ol{padding-left:.9rem;border-left:1px solid var(--line);margin:.1rem 0 .5rem}
nav a{display:block;padding:.22rem 0;color:var(--ink);text-decoration:none}
nav ol ol a{color:var(--soft)}
nav a:hover{color:var(--accent);text-decoration:underline}
.facts{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:1.5rem 0 0;padding:1rem 0 0;border-top:1px solid var(--line);
font-size:.95rem}
.facts div{min-width:0}
.facts dt{color:var(--soft);font-size:.8rem}
.facts dd{margin:0;overflow-wrap:anywhere}
.key{display:grid;grid-template-columns:repeat(auto-fit,minmax(10.5rem,1fr));gap:1rem;margin:1.5rem 0 2rem;padding:0;
list-style:none;max-width:none}
.key li{margin:0;background:var(--wash);border:1px solid var(--line);border-radius:10px;padding:1rem 1.25rem}
.key b{display:block;font-size:2rem;line-height:1.2;letter-spacing:-.02em;font-variant-numeric:tabular-nums}
.key span{display:block;font-weight:600;font-size:.95rem}
.key small{color:var(--soft);font-size:.85rem;line-height:1.35;display:block}
figure{margin:1.75rem 0 2.25rem;min-width:0}
.card{background:#fff;border:1px solid var(--line);border-radius:10px;overflow-x:auto;padding:.25rem}
.card img{display:block;margin:0 auto;max-width:100%;height:auto}
figcaption{color:var(--soft);font-size:.95rem;line-height:1.5;margin:.6rem 0 0;max-width:68ch}
figcaption p{margin:0}
.grid{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(26rem,100%),1fr));gap:1.5rem;margin:1.75rem 0 2.25rem;
align-items:start}
.grid figure{margin:0}
.scroll{overflow-x:auto;margin:1.5rem 0 .5rem}
table{border-collapse:collapse;font-size:.95rem;line-height:1.4;font-variant-numeric:tabular-nums;min-width:min(30rem,100%)}
caption{text-align:left;font-weight:600;padding:0 0 .6rem;caption-side:top}
th,td{padding:.5rem .9rem;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th:first-child,td:first-child{padding-left:0}
thead th{font-weight:600;vertical-align:bottom;border-bottom:2px solid var(--line);font-size:.9rem}
tbody th{font-weight:500}
.r{text-align:right;white-space:nowrap}
.c{text-align:center}
.one{white-space:nowrap}
.unit{display:block;font-weight:400;color:var(--soft);font-size:.85em}
.strong{font-weight:700}
.dim{color:var(--soft)}
.good span,.mixed span,.bad span{display:inline-block;white-space:nowrap;border-radius:6px;padding:.05em .5em;font-weight:600}
.good span{color:var(--good);background:var(--good-wash)}
.mixed span{color:var(--mixed);background:var(--mixed-wash)}
.bad span{color:var(--bad);background:var(--bad-wash)}
.tablenote{color:var(--soft);font-size:.9rem;margin-bottom:2rem}
aside{border-left:4px solid var(--note);background:var(--note-wash);border-radius:0 10px 10px 0;padding:1rem 1.25rem;
margin:1.75rem 0;max-width:46rem}
aside>:last-child{margin-bottom:0}
aside .label{font-weight:700;color:var(--note);margin:0 0 .25rem}
aside.warning{border-color:var(--mixed);background:var(--mixed-wash)}
aside.warning .label{color:var(--mixed)}
aside.finding{border-color:var(--good);background:var(--good-wash)}
aside.finding .label{color:var(--good)}
aside code{background:none;padding:0}
footer{margin:4rem 0 3rem;padding-top:1.25rem;border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}
@media (max-width:68rem){.page{grid-template-columns:minmax(0,1fr);padding:0 1.5rem}
header,main,footer,nav{grid-column:1}nav{grid-row:auto}
nav>div{position:static;max-height:none;padding:1rem 1.25rem;margin-top:1.5rem;background:var(--wash);
border:1px solid var(--line);border-radius:10px}
nav>div>ol{columns:14rem;column-gap:2rem}nav>div>ol>li{break-inside:avoid}
header{padding-top:2.5rem}}
@media (max-width:40rem){body{font-size:1rem}.page{padding:0 1rem}h1{font-size:1.9rem}h2{font-size:1.4rem;margin-top:3rem}
.lead{font-size:1.1rem}.card img.wide{max-width:none;width:42rem}.card img{margin:0}
th,td{padding:.45rem .6rem}th:not(.r):not(.c),td:not(.r):not(.c){min-width:7.5rem}.key{grid-template-columns:repeat(2,minmax(0,1fr));gap:.6rem}.key li{padding:.75rem .9rem}
.key b{font-size:1.5rem}}
@media print{:root{--paper:#fff;--wash:#f5f7fa;--ink:#000;--soft:#444;--line:#ccc;color-scheme:light}
nav,.skip{display:none}.page{display:block;max-width:none;padding:0}body{font-size:10.5pt}
h2,h3,h4{break-after:avoid}figure,aside,tr,.key li{break-inside:avoid}.card{border:0;overflow:visible}
.scroll{overflow:visible}a{color:inherit}@page{margin:18mm 16mm}}
)css";

}  // namespace hourglass::report
