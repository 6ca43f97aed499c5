// The page's style and script: see page_style.h.
#include "experiments/report/page_style.h"

namespace versor {

// One column that a phone shows without scrolling sideways; what is wider scrolls in a box of its
// own. On paper everything that is folded is open, and the letters of a wide table are as small as
// its columns need.
const char* const kPageStyle = R"(
:root{color-scheme:light dark;--text:#1a1a1a;--soft:#555;--page:#fff;--shade:#f2f5f8;--line:#ccc;
--mark:#0072b2;--link:#005a8f;--warn:#fff3d6;--bad:#fde3e0;--best:#dff1e4}
@media screen and (prefers-color-scheme:dark){:root{--text:#e6e6e6;--soft:#a8a8a8;--page:#15181c;
--shade:#20262d;--line:#444;--mark:#56a8e8;--link:#8ec7f2;--warn:#3d3212;--bad:#4a1f1b;--best:#1c3d29}
.c0{stroke:#56a8e8;fill:#56a8e8}.c1{stroke:#ff8a4a;fill:#ff8a4a}.c2{stroke:#2ec99a;fill:#2ec99a}
.c3{stroke:#e39cc5;fill:#e39cc5}.c4{stroke:#8ed4f5;fill:#8ed4f5}.c5{stroke:#f0b53c;fill:#f0b53c}
.c6{stroke:#fff;fill:#fff}.c7{stroke:#c9b030;fill:#c9b030}}
*{box-sizing:border-box}
html{scroll-padding-top:3.2rem}
body{font:16px/1.5 system-ui,sans-serif;margin:0;color:var(--text);background:var(--page);
overflow-wrap:break-word}
main{max-width:72rem;margin:0 auto;padding:0 .9rem 3rem}
a{color:var(--link)}
h1{font-size:1.5rem;line-height:1.2;margin:.7rem 0}
h2{font-size:1.3rem;line-height:1.25;margin:2.5rem 0 .5rem;border-top:3px solid var(--mark);
padding-top:.5rem}
h3{font-size:1.05rem;margin:1.4rem 0 .3rem}
p{margin:.5rem 0;max-width:52rem}
nav{position:sticky;top:0;z-index:3;background:var(--page);border-bottom:1px solid var(--line);
overflow-x:auto;white-space:nowrap;padding:.4rem .9rem;font-size:.875rem}
nav a{display:inline-block;max-width:11rem;overflow:hidden;text-overflow:ellipsis;
vertical-align:bottom;margin-right:.9rem;text-decoration:none;padding:.1rem 0}
nav a:hover{text-decoration:underline}
.verdict{background:var(--shade);border-left:6px solid var(--mark);padding:.2rem 1rem .6rem}
.verdict h2{border:0;margin:.3rem 0 0;padding:0}
.lead{font-size:1.1rem}
.soft,figcaption{color:var(--soft);font-size:.875rem}
.scale{background:var(--warn);border-left:6px solid #e69f00;padding:.4rem 1rem}
.damaged{background:var(--bad);border-left:6px solid #c0392b;padding:.4rem 1rem}
details{margin:.8rem 0}
summary{cursor:pointer;font-weight:600}
.wide{overflow-x:auto;max-width:100%;margin:.5rem 0}
table{border-collapse:collapse;font-size:.875rem;font-variant-numeric:tabular-nums}
th,td{border-bottom:1px solid var(--line);padding:.25rem .6rem;text-align:left;vertical-align:top;
font-weight:400}
thead th{background:var(--shade);font-weight:600;vertical-align:bottom}
.n{text-align:right;white-space:nowrap}
thead .n{white-space:normal}
td:not(.n){min-width:5rem}
tr>:first-child{position:sticky;left:0;background:var(--page);max-width:45vw}
.verdict tr>:first-child{background:var(--shade)}
thead tr>:first-child{background:var(--shade)}
.best{background:var(--best);font-weight:700;padding:0 .2rem;border-radius:.2rem}
.plots{display:grid;gap:1rem 1.5rem;grid-template-columns:repeat(auto-fit,minmax(min(100%,23rem),1fr))}
figure{margin:.6rem 0;min-width:0}
.plot{width:100%;max-width:36rem;height:auto;font:12px sans-serif;touch-action:pan-y}
.panels{display:grid;gap:.5rem;grid-template-columns:repeat(auto-fill,minmax(min(48%,14rem),1fr))}
.strips{display:grid;gap:.15rem .8rem;grid-template-columns:minmax(0,11rem) minmax(0,49rem);
align-items:center;font-size:.875rem}
.strips svg,.whole{width:100%;height:auto;display:block;image-rendering:pixelated}
.store{position:absolute}
#tip{position:absolute;z-index:4;pointer-events:none;background:var(--page);color:var(--text);
border:1px solid var(--line);padding:.2rem .5rem;font:13px/1.4 sans-serif;white-space:pre;
font-variant-numeric:tabular-nums;box-shadow:0 1px 6px #0005}
@media(max-width:40rem){main{padding:0 .7rem 2rem}.strips{grid-template-columns:minmax(0,1fr)}
nav{padding:.35rem .7rem;font-size:.85rem}nav a{max-width:9rem}th,td{padding:.25rem .35rem}
.verdict{padding:.2rem .6rem .6rem}table{font-size:.8rem}td:not(.n){min-width:4rem}}
@page{size:A4 landscape;margin:12mm}
@media print{:root{--text:#000;--soft:#444;--page:#fff;--shade:#f2f5f8;--line:#bbb;--link:#000;
--best:#dff1e4;--warn:#fff3d6;--bad:#fde3e0;color-scheme:light;print-color-adjust:exact}
nav,#tip{display:none}main{max-width:none;padding:0}body{font-size:10pt}
details::details-content{display:block;content-visibility:visible}
summary{list-style:none}
.wide{overflow:visible}
table{font-size:calc(min(9pt,115pt/var(--columns)))}
th,td{padding:.15em .4em}
td:not(.n){overflow-wrap:anywhere;min-width:4em}
.n{white-space:normal}
tr>:first-child{position:static;max-width:none}
tr,figure,.strips{break-inside:avoid}h2,h3,summary{break-after:avoid}
.plots{grid-template-columns:1fr 1fr 1fr}}
)";

// Shows a plot's values under the pointer, and opens what is folded for printing. With
// <body data-reload="5"> the page loads itself again every five seconds, at the same place.
const char* const kPageScript = R"(
'use strict';
const tip = document.createElement('div');
tip.id = 'tip';
tip.hidden = true;
document.body.append(tip);

// The points of a curve in the plot's coordinates, with the texts of their values.
function pointsOf(group) {
  const path = group.querySelector('.line').getAttribute('d');
  const x = group.dataset.x.split(' '), y = group.dataset.y.split(' ');
  return [...path.matchAll(/[ML](-?[\d.]+),(-?[\d.]+)/g)].map((m, i) =>
      ({left: +m[1], x: x[i], text: group.dataset.name + ': ' + y[i]}));
}
for (const svg of document.querySelectorAll('svg.plot')) {
  const curves = [...svg.querySelectorAll('.curve')].map(pointsOf);
  if (!curves.length) continue;
  const show = event => {
    const at = new DOMPoint(event.clientX, event.clientY)
        .matrixTransform(svg.getScreenCTM().inverse());
    let nearest = null;
    for (const p of curves.flat())
      if (!nearest || Math.abs(p.left - at.x) < Math.abs(nearest.left - at.x)) nearest = p;
    if (!nearest) return;
    tip.textContent = [nearest.x, ...curves.flat().filter(p => p.x === nearest.x)
        .map(p => p.text)].join('\n');
    tip.hidden = false;
    const left = Math.min(event.clientX + 14, document.documentElement.clientWidth -
                          tip.offsetWidth - 4);
    tip.style.left = Math.max(0, left) + scrollX + 'px';
    tip.style.top = event.clientY + 14 + scrollY + 'px';
  };
  svg.addEventListener('pointermove', show);
  svg.addEventListener('pointerdown', show);
  svg.addEventListener('pointerleave', () => { tip.hidden = true; });
}

let folded = [];
addEventListener('beforeprint', () => {
  folded = [...document.querySelectorAll('details:not([open])')];
  for (const d of folded) d.open = true;
});
addEventListener('afterprint', () => { for (const d of folded) d.open = false; });

const seconds = +document.body.dataset.reload || 0;
if (seconds) {
  const nameOf = d => d.closest('section')?.id + d.querySelector('summary').textContent;
  try {
    const saved = JSON.parse(sessionStorage.getItem('report') || 'null');
    if (saved) {
      for (const d of document.querySelectorAll('details'))
        if (nameOf(d) in saved.open) d.open = saved.open[nameOf(d)];
      scrollTo(0, saved.top);
    }
  } catch {}
  setInterval(() => {
    if (!tip.hidden) return;
    const open = {};
    for (const d of document.querySelectorAll('details')) open[nameOf(d)] = d.open;
    try { sessionStorage.setItem('report', JSON.stringify({open, top: scrollY})); } catch {}
    location.reload();
  }, 1000 * seconds);
}
)";

}  // namespace versor
