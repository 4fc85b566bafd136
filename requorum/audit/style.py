"""The style sheet of report.html: system fonts, light and dark, phone and paper; state is a word, then a colour."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5b6570; --line: #dfe3e7; --paper: #fff; --sunk: #f5f6f8;
  --good: #1a6b3c; --good-bg: #e9f5ee; --warn: #8a5200; --warn-bg: #fdf3e1; --bad: #ab1f24; --bad-bg: #fdecec;
  --calm: #4d5965; --calm-bg: #eceff2; --link: #1f5fa8; }
@media screen and (prefers-color-scheme: dark) { :root { --ink: #e3e6ea; --soft: #98a2ad; --line: #30373f;
  --paper: #14181c; --sunk: #1b2026; --good: #74cf98; --good-bg: #15291d; --warn: #ecb45e; --warn-bg: #2d2413;
  --bad: #ff8f8c; --bad-bg: #351a1b; --calm: #aab4bf; --calm-bg: #262c33; --link: #82b6f2; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 1rem; }
body { margin: 0 auto; max-width: 66rem; padding: 2rem 1.5rem 5rem; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: break-word; }
a { color: var(--link); text-decoration: none; } a:hover { text-decoration: underline; }
h1, h2, h3, h4, p, dl, dd, ul, ol, pre, table { margin: 0; }
h2 { font-size: 1.3rem; font-weight: 650; letter-spacing: -.01em; margin: 3.25rem 0 1rem; }
h3 { font-size: 1.06rem; font-weight: 650; }
code, pre, .mono { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  font-size: .82em; }
pre { line-height: 1.5; white-space: pre-wrap; overflow-wrap: anywhere; background: var(--sunk); border-radius: 6px;
  padding: .6rem .8rem; }
.soft { color: var(--soft); } .small { font-size: .86rem; } .nowrap { white-space: nowrap; }
.over { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; color: var(--soft); font-size: .88rem; margin-bottom: 1rem; }
.over b { color: var(--ink); font-weight: 600; }
.good { --c: var(--good); --b: var(--good-bg); } .warn { --c: var(--warn); --b: var(--warn-bg); }
.bad { --c: var(--bad); --b: var(--bad-bg); } .calm { --c: var(--calm); --b: var(--calm-bg); }
.answer { background: var(--b); border-left: 6px solid var(--c); border-radius: 4px 10px 10px 4px;
  padding: 1.6rem 1.8rem 1.7rem; }
.answer h1 { color: var(--c); font-size: clamp(2rem, 6vw, 3rem); line-height: 1.05; font-weight: 760;
  letter-spacing: -.025em; }
.answer .state { color: var(--c); font-size: 1.25rem; font-weight: 600; margin-top: .35rem; }
.answer .sentence { font-size: 1.08rem; margin-top: .9rem; max-width: 46rem; }
.answer h2 { font-size: .82rem; margin: 1.3rem 0 .35rem; color: var(--soft); font-weight: 600; letter-spacing: 0; }
.answer pre { background: var(--paper); font-size: .9rem; }
.answer ul { padding-left: 1.15rem; } .answer li { margin: .3rem 0; }
.alarm { border: 2px solid var(--bad); background: var(--bad-bg); color: var(--bad); border-radius: 8px;
  padding: .8rem 1.1rem; font-weight: 600; margin-bottom: 1.2rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: 1.15rem 2rem;
  margin-top: 1.8rem; }
.facts dt, .pairs dt { color: var(--soft); font-size: .84rem; }
.facts > div { min-width: 0; overflow-wrap: anywhere; }
.facts dd { font-weight: 550; } .facts dd .small { font-weight: 400; }
.pairs { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .35rem 1.4rem;
  align-items: baseline; }
.pairs dd { min-width: 0; overflow-wrap: anywhere; }
.pill { display: inline-block; border-radius: 99px; padding: .05rem .6rem; font-size: .78rem; font-weight: 600;
  line-height: 1.5;
  color: var(--c); background: var(--b); white-space: nowrap; }
.pill.good, .pill.calm { font-weight: 550; }
.timeline .pill.good, .timeline .pill.calm { background: none; padding: 0; }
.timeline .host { white-space: nowrap; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: baseline; padding: .38rem .9rem .38rem 0;
  border-bottom: 1px solid var(--line); }
thead th { color: var(--soft); font-weight: 500; font-size: .82rem; }
tbody th { font-weight: 500; }
td:last-child, th:last-child { padding-right: 0; }
.num { text-align: right; white-space: nowrap; }
tr.stage th { padding-top: 1.3rem; font-weight: 650; font-size: .95rem; }
.hosts td, .hosts th { min-width: 8.5rem; overflow-wrap: anywhere; padding-right: 1.2rem; }
.hosts tbody th { color: var(--soft); min-width: 7rem; font-weight: 400; font-size: .86rem; }
.proof { padding-left: 1.15rem; margin: .3rem 0 1rem; } .proof li { margin: .25rem 0; }
.verdict { font-size: 1.15rem; font-weight: 650; }
.step { border-top: 1px solid var(--line); padding: 1.4rem 0 1.6rem; }
.step:target { border-top: 3px solid var(--link); }
.step header { display: flex; flex-wrap: wrap; gap: .2rem .8rem; align-items: baseline; }
.step header .at { margin-left: auto; }
.reason { border-left: 4px solid var(--c); background: var(--b); padding: .5rem .9rem; border-radius: 3px 6px 6px 3px;
  margin-top: .8rem; white-space: pre-wrap; }
.word { margin-top: 1rem; padding-left: 1rem; border-left: 2px solid var(--line); }
.word.bad { border-left-color: var(--bad); }
.word > .head { display: flex; flex-wrap: wrap; gap: .1rem .7rem; align-items: baseline; }
.word .kind { color: var(--soft); font-size: .84rem; min-width: 6.6rem; }
.word .text { font-weight: 550; flex: 1 1 14rem; }
.compare { margin-top: .6rem; } .compare pre { background: none; padding: 0; }
.compare .found pre { color: var(--bad); }
.event { margin-top: .7rem; }
.event > .line { display: flex; flex-wrap: wrap; gap: .1rem .7rem; align-items: baseline; font-size: .9rem;
  margin-bottom: .3rem; }
.event > .line .what { flex: 1 1 12rem; min-width: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--warn); padding-left: .8rem; }
.diff span { display: block; margin: 0 -.8rem; padding: 0 .8rem; min-height: 1.5em; }
.diff .add { background: var(--good-bg); color: var(--good); }
.diff .del { background: var(--bad-bg); color: var(--bad); }
.diff .hunk { color: var(--soft); }
details { margin-top: .45rem; }
summary { cursor: pointer; font-size: .86rem; color: var(--soft); }
.step.brief { padding: .45rem 0; } .step.brief h3 { font-weight: 500; font-size: .95rem; }
summary code { font-size: .95em; color: var(--ink); overflow-wrap: anywhere; }
details > pre { margin-top: .35rem; } details > .stream { color: var(--soft); font-size: .8rem; margin-top: .5rem; }
details.list > details { margin-left: 1rem; }
.cut { color: var(--soft); font-style: italic; font-family: system-ui, sans-serif; }
footer { margin-top: 3.5rem; border-top: 1px solid var(--line); padding-top: 1.2rem; font-size: .9rem; }
footer .hash { overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { padding: 1rem .9rem 3rem; font-size: 15px; }
  .answer { padding: 1.2rem 1.1rem 1.3rem; } .answer .state { font-size: 1.08rem; }
  .facts { grid-template-columns: 1fr; gap: .9rem; } h2 { margin-top: 2.4rem; }
  .pairs { grid-template-columns: 1fr; gap: 0; } .pairs dd { margin-bottom: .6rem; }
  .timeline thead { display: none; } .timeline tr { display: grid; grid-template-columns: 4.6rem 1fr auto; gap: 0 .5rem;
    padding: .45rem 0; border-bottom: 1px solid var(--line); }
  .timeline td, .timeline th { border: 0; padding: 0; } .timeline .title { grid-column: 2 / 4; grid-row: 1; }
  .timeline .time { grid-column: 1; grid-row: 1; }
  .timeline .host { grid-column: 2; white-space: normal; overflow-wrap: anywhere; }
  .timeline .state { grid-column: 3; }
  .timeline .wide { display: none; } .timeline tr.stage { display: block; }
  .word .kind { width: 100%; } .word .text, .event > .line .what { flex-basis: 9rem; }
  .step header .at { margin-left: 0; width: 100%; }
}
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; } a { color: inherit; }
  .step, .answer, tr { break-inside: avoid-page; } h2, h3 { break-after: avoid; }
  .answer, .pill, .reason, .diff span { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  details::details-content { content-visibility: visible; block-size: auto; }
  .step:has(details) { break-inside: auto; }
}
"""
