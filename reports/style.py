"""How the page looks and how its figures are drawn: one style sheet and one short script, both inlined."""

STYLE_SHEET = """
:root { --ink: #1f2933; --muted: #52606d; --line: #dfe3e8; --wash: #f5f7fa; --accent: #0b5a8f; }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--wash); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI",
  Roboto, "Liberation Sans", sans-serif; overflow-wrap: anywhere; }
main, header, footer { max-width: 1160px; margin: 0 auto; padding: 0 clamp(14px, 3vw, 32px); }
header { padding-top: clamp(24px, 5vw, 52px); }
h1 { font-size: clamp(1.6rem, 4.5vw, 2.3rem); line-height: 1.2; margin: 0 0 .5rem; letter-spacing: -.015em; }
h2 { font-size: 1.3rem; line-height: 1.3; margin: 0 0 .25rem; letter-spacing: -.01em; }
h3 { font-size: 1rem; margin: 1.25rem 0 .25rem; }
p { margin: .25rem 0 .75rem; max-width: 84ch; }
.eyebrow { color: var(--accent); font-size: .8rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
  margin: 0 0 .4rem; }
.lead { font-size: 1.08rem; }
.caption, .empty, footer { color: var(--muted); font-size: .92rem; }
.empty { background: var(--wash); border-radius: 8px; padding: .8rem 1rem; max-width: none; }
.notice { background: #fff6e0; border-left: 4px solid #b7791f; border-radius: 6px; padding: .6rem .9rem;
  max-width: none; }
section { background: #fff; border: 1px solid var(--line); border-radius: 12px; margin: 18px 0;
  padding: clamp(14px, 2.6vw, 26px); }
footer { padding-bottom: 40px; }
.headline { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 6fr); gap: 1rem clamp(1rem, 4vw, 3rem);
  align-items: start; border-top: 4px solid var(--accent); }
.figure-number { font-size: clamp(2.5rem, 9vw, 3.9rem); font-weight: 650; line-height: 1.05; letter-spacing: -.03em;
  font-variant-numeric: tabular-nums; margin: .2rem 0 .3rem; }
.figure-number span { font-size: .42em; font-weight: 500; letter-spacing: 0; color: var(--muted); white-space: nowrap; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: .3rem 1.1rem; margin: .3rem 0; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; max-height: 640px; overflow-y: auto; margin: .6rem 0; border: 1px solid var(--line);
  border-radius: 8px; }
.scroll:focus-visible { outline: 3px solid var(--accent); }
table { border-collapse: separate; border-spacing: 0; width: 100%; font-size: .92rem;
  font-variant-numeric: tabular-nums; overflow-wrap: normal; }
th, td { text-align: left; vertical-align: top; padding: .5rem .65rem; border-bottom: 1px solid var(--line); }
tbody tr:last-child td, tbody tr:last-child th { border-bottom: 0; }
thead th { overflow-wrap: normal !important;
  position: sticky; top: 0; background: var(--wash); font-weight: 600; z-index: 1;
  vertical-align: bottom; line-height: 1.3; }
tbody th { font-weight: 600; }
.number { text-align: right; }
td.number, .time { white-space: nowrap; }
.best td, .best th { background: #eef6fc; }
.words { min-width: 15rem; max-width: 32rem; overflow-wrap: anywhere; white-space: pre-line; }
.name { min-width: 8.8rem; max-width: 16rem; overflow-wrap: anywhere; }
.parameters { display: flex; flex-wrap: wrap; gap: .1rem .9rem; min-width: 11.5rem; }
.parameters b { font-weight: 400; color: var(--muted); }
.tag { display: inline-block; border-radius: 999px; padding: .02rem .6rem; font-size: .82rem; font-weight: 600;
  background: #e4e7eb; color: #323f4b; white-space: nowrap; }
.tag.finished { background: #d7f0e4; color: #0b5d3b; }
.tag.stopped { background: #fdf0d0; color: #6f4a05; }
.tag.failed { background: #fde0d6; color: #8a2c06; }
.tag.default { background: #e3e9fb; color: #2c3f8f; }
.labels { display: flex; flex-wrap: wrap; gap: .3rem; margin: 0; padding: 0; list-style: none; }
.labels li { background: var(--wash); border: 1px solid var(--line); border-radius: 6px; padding: 0 .5rem;
  font-size: .9rem; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); gap: 0 1.5rem; }
.pair > *, .headline > *, figure { min-width: 0; }
figure { margin: .5rem 0 0; }
.plot-box { overflow-x: auto; overflow-y: hidden; }
figcaption { color: var(--muted); font-size: .92rem; max-width: 84ch; margin-top: .4rem; }
pre, code { font: .86rem/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, "Liberation Mono", monospace; }
pre { margin: 0; padding: .8rem 1rem; white-space: pre; overflow-wrap: normal; }
details { margin: .6rem 0; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; }
.clips { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: 1rem;
  margin: .8rem 0; }
.clip { border: 1px solid var(--line); border-radius: 10px; padding: .7rem .8rem; min-width: 0; }
.clip h4 { margin: 0; font-size: .95rem; }
.clip .facts { display: flex; flex-wrap: wrap; gap: 0 .9rem; margin: .1rem 0 .3rem; font-size: .84rem; }
.clip .facts div { display: flex; gap: .3rem; min-width: 0; }
.clip .facts dd { margin: 0; }
.clip svg { display: block; width: 100%; height: auto; }
.clip svg text { font: 11px system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; fill: var(--muted); }
.clip audio { display: block; width: 100%; height: 36px; margin-top: .4rem; }
.match { border: 1px solid var(--line); border-radius: 12px; padding: .7rem .9rem; margin: .8rem 0;
  background: var(--wash); }
.match .clips { grid-template-columns: repeat(2, minmax(0, 1fr)); margin: .5rem 0 0; }
.match .clip { background: #fff; }
.match p { margin: 0; max-width: none; }
.scale { display: inline-block; width: 120px; height: .7em; border-radius: 3px; margin: 0 .4rem; }
@media (max-width: 720px) { .match .clips { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 720px) { .headline { grid-template-columns: minmax(0, 1fr); }
  .facts { grid-template-columns: minmax(0, 1fr); gap: 0; } .facts dd { margin-bottom: .5rem; } }
@media print { body { background: #fff; } section { break-inside: avoid; border: 0; padding: 8px 0; }
  .scroll { max-height: none; overflow: visible; } }
"""

# Every figure's data lies beside its place as JSON; nothing in it is ever run.
DRAW_SCRIPT = """
for (const source of document.querySelectorAll('script[type="application/json"]')) {
  const figure = JSON.parse(source.textContent);
  Plotly.newPlot(source.previousElementSibling, figure.data, figure.layout, {responsive: true, displayModeBar: false});
}
"""
