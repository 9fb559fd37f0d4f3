"""The style of the report page: readable on a phone, in print, in light and dark, without anything from outside."""

STYLE = """
:root { color-scheme: light dark; --ink: #1c2126; --soft: #5a6570; --line: #d9dee3; --card: #f6f8f9; --page: #ffffff;
        --ok: #0b6b3a; --ok-back: #e2f3e9; --bad: #a3161f; --bad-back: #fbe4e5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ec; --soft: #a3adb6; --line: #39424a; --card: #20262b; --page: #14181b;
          --ok: #7fd6a4; --ok-back: #12351f; --bad: #ff9a9f; --bad-back: #451417; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 60rem; background: var(--page); color: var(--ink);
       font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .7rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p.summary { font-size: 1.08rem; margin: 0; overflow-wrap: anywhere; }
a { color: inherit; }
p.note, footer { color: var(--soft); font-size: .88rem; }
ul.badges { list-style: none; display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: .6rem;
            margin: 1.2rem 0 0; padding: 0; }
ul.badges li { border-radius: .5rem; padding: .55rem .8rem; border-left: .3rem solid; overflow-wrap: anywhere; }
ul.badges li.ok { background: var(--ok-back); border-color: var(--ok); }
ul.badges li.bad { background: var(--bad-back); border-color: var(--bad); }
ul.badges li.info { background: var(--card); border-color: var(--soft); }
ul.badges strong { display: block; }
ul.badges .word { float: right; font-weight: 700; font-size: .85rem; }
li.ok .word { color: var(--ok); } li.bad .word { color: var(--bad); } li.info .word { color: var(--soft); }
ul.badges .number { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .9rem; }
figure { margin: 0 0 1.6rem; }
figure img { display: block; max-width: 100%; height: auto; margin: 0 auto; background: #ffffff; border-radius: .4rem;
             border: 1px solid var(--line); }
figcaption { color: var(--soft); font-size: .92rem; margin: .4rem auto 0; text-align: center; overflow-wrap: anywhere; }
div.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .93rem; }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
         overflow-wrap: anywhere; }
th { color: var(--soft); font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
ul.warnings { margin: .6rem 0 0; padding-left: 1.2rem; overflow-wrap: anywhere; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .4rem; padding: .7rem .9rem;
      margin: 0 0 .5rem; white-space: pre-wrap; overflow-wrap: anywhere; font-size: .88rem; }
@media print {
  :root { color-scheme: light; --ink: #000; --soft: #444; --line: #bbb; --card: #fff; --page: #fff; --ok: #0b6b3a;
          --ok-back: #fff; --bad: #a3161f; --bad-back: #fff; }
  body { max-width: none; padding: 0; font-size: 10pt; }
  figure, table, ul.badges li { break-inside: avoid; }
  h2 { break-after: avoid; }
}
"""
