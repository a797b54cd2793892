// SPDX-License-Identifier: Apache-2.0

/** Colours have a contrast of at least 4.5 to 1 in both schemes; each state also has a sign and a word. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #f6f8fa; --card: #ffffff; --line: #d8dee4; --text: #1f2328; --quiet: #59636e; --link: #0756b8;
  --good: #176f2c; --good-soft: #e4f6e8; --bad: #b3191f; --bad-soft: #ffedec; --warn: #805100; --warn-soft: #fff5d6; --bar: #0b2545;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #0d1117; --card: #161b22; --line: #30363d; --text: #e6edf3; --quiet: #9aa4af; --link: #79b8ff;
    --good: #56d364; --good-soft: #10271a; --bad: #ff8f88; --bad-soft: #341619; --warn: #e3b341; --warn-soft: #2c2210; --bar: #010409;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 0 1rem 2rem; overflow-wrap: anywhere; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; border-radius: 3px; }
h1, h2, p, dl, dd, ul { margin: 0; }
h2 { font-size: 1.05rem; margin-bottom: .6rem; }
code, .code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9em; }
pre { margin: 0; font: .85em/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; }
.quiet { color: var(--quiet); }
.good { color: var(--good); } .bad { color: var(--bad); } .warn { color: var(--warn); }
table#errors td:nth-child(3), .signed { white-space: nowrap; }
.sign { display: inline-block; min-width: 1.1em; font-weight: 700; }
header { display: flex; flex-wrap: wrap; gap: .25rem 1rem; align-items: baseline; padding: 1rem 0 .8rem; }
header .brand { font-weight: 700; letter-spacing: .02em; }
header .brand a { color: inherit; text-decoration: none; }
header .pod { flex: 1 1 12rem; } header h1 { font-size: 1.15rem; }
header .state { font-weight: 650; }
#headline, section, .banner, .facts { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 1rem 1.2rem; margin-bottom: 1rem; }
#headline { border-left-width: 6px; }
#headline.good { border-left-color: var(--good); background: var(--good-soft); }
#headline.bad { border-left-color: var(--bad); background: var(--bad-soft); }
#headline.warn, .banner { border-left: 6px solid var(--warn); background: var(--warn-soft); }
#headline h1 { font-size: 1.35rem; line-height: 1.35; font-weight: 650; color: var(--text); }
#headline p, .banner p { margin-top: .35rem; color: var(--text); }
.banner h2 { margin-bottom: 0; color: var(--warn); }
.banner ul { padding-left: 1.2rem; } .banner li { margin-top: .4rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(20rem, 1fr)); gap: 1px; padding: 0; overflow: hidden; background: var(--line); margin: 0 0 1rem; }
.facts > div { background: var(--card); padding: .8rem 1.2rem; }
.facts dt { font-size: .8rem; color: var(--quiet); }
.facts dd { font-weight: 600; } .facts dd + dd { font-weight: 400; font-size: .9rem; color: var(--quiet); }
.facts dd.bad { color: var(--bad); } .facts dd.warn { color: var(--warn); }
.tree, .tree ul { list-style: none; padding: 0; } .tree ul { padding-left: 1.6rem; }
.tree li { padding: .1rem 0; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
caption { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
th, td { text-align: left; vertical-align: top; padding: .35rem 1rem .35rem 0; } td { min-width: 5.5rem; }
th { font-size: .8rem; font-weight: 500; color: var(--quiet); border-bottom: 1px solid var(--line); white-space: nowrap; }
td { border-bottom: 1px solid var(--line); } tbody tr:last-child td { border-bottom: 0; }
table + .quiet, table + table { margin-top: .6rem; }
time { white-space: nowrap; text-decoration: underline dotted var(--quiet) 1px; text-underline-offset: 3px; cursor: help; }
summary { cursor: pointer; font-weight: 650; } summary h2 { display: inline; } details[open] > summary { margin-bottom: .6rem; }
nav ul { list-style: none; padding: 0; display: grid; grid-template-columns: repeat(auto-fill, minmax(22rem, 1fr)); gap: .4rem 1.5rem; }
nav li span { display: block; font-size: .88rem; color: var(--quiet); }
dl.value { display: grid; grid-template-columns: minmax(8rem, max-content) minmax(0, 1fr); gap: .25rem 1rem; } dl.value > dt { color: var(--quiet); }
dl.value dl.value { padding-left: .8rem; border-left: 2px solid var(--line); }
ul.list { list-style: none; padding: 0; } ul.list > li + li { margin-top: .7rem; }
#facts-of > p.quiet { margin-top: 1rem; }
#gone { position: sticky; top: 0; z-index: 1; background: var(--bad); color: var(--page); padding: .7rem 1rem; }
#gone[hidden] { display: none; } #gone p { max-width: 72rem; margin: 0 auto; } #gone time { text-decoration: none; }
body.old main { opacity: .62; }
@media (max-width: 600px) {
  main { padding: 0 .7rem 1.5rem; }
  #headline, section, .banner { padding: .8rem .9rem; border-radius: 8px; }
  #headline h1 { font-size: 1.15rem; }
  .facts { grid-template-columns: 1fr; padding: 0; } .facts > div { padding: .65rem .9rem; }
  thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  table, tbody, tr, td { display: block; }
  tr { border: 1px solid var(--line); border-radius: 8px; padding: .5rem .8rem; margin-bottom: .6rem; }
  td { border: 0; padding: .15rem 0; display: grid; grid-template-columns: 7.5rem minmax(0, 1fr); gap: .6rem; }
  td::before { content: attr(data-label); color: var(--quiet); font-size: .85rem; }
  td:empty { display: none; }
  nav ul, dl.value { grid-template-columns: 1fr; } dl.value { gap: 0 1rem; } dl.value > dd { margin-bottom: .4rem; }
}
@media print { #gone, script { display: none; } section, #headline { break-inside: avoid; } }
`;
