"""How the page of the API looks: light or dark as the reader's system is, narrow screens too."""

STYLE = """
:root { color-scheme: light dark; --line: light-dark(#d9dee5, #343b46); --soft: light-dark(#f4f6f9, #1b2028);
  --quiet: light-dark(#566170, #9ba7b6); --link: light-dark(#0b57b0, #8ab8ff);
  --get: light-dark(#0b57b0, #8ab8ff); --post: light-dark(#1a6b3c, #7fd6a2);
  --put: light-dark(#7a4d00, #f0c069); --delete: light-dark(#a3212b, #ff9da3); }
* { box-sizing: border-box; }
html { scroll-padding-top: 1rem; }
body { margin: 0; font: 16px/1.55 system-ui, sans-serif; background: light-dark(#fff, #12161c);
  color: light-dark(#1b222c, #e4e9f0); display: grid; grid-template-columns: 17rem minmax(0, 1fr); }
header, nav, main { padding: 1.5rem; }
header { grid-column: 1 / -1; border-bottom: 1px solid var(--line); }
header > * { max-width: 48rem; margin: 0 0 .5rem; }
nav { border-right: 1px solid var(--line); font-size: .85rem; position: sticky; top: 0; max-height: 100vh;
  overflow-y: auto; align-self: start; }
nav h2 { font-size: .85rem; margin: 1.2rem 0 .3rem; }
nav h2:first-child { margin-top: 0; }
nav ul { list-style: none; margin: 0; padding: 0; }
nav a { display: block; padding: .15rem 0; text-decoration: none; overflow-wrap: anywhere; }
main { max-width: 60rem; }
a { color: var(--link); }
a:focus-visible { outline: 2px solid; outline-offset: 2px; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: 1rem; padding: .5rem 1rem; background: Canvas; }
code { font: .9em ui-monospace, monospace; overflow-wrap: anywhere; }
article { border: 1px solid var(--line); border-radius: .5rem; margin: 0 0 1.25rem; padding: 1rem 1.25rem; }
article h3 { margin: 0 0 .25rem; font-size: 1rem; }
article h4 { margin: 1rem 0 .25rem; font-size: .85rem; color: var(--quiet); }
article p { margin: .25rem 0; }
.get { color: var(--get); } .post { color: var(--post); } .put { color: var(--put); } .delete { color: var(--delete); }
.quiet { color: var(--quiet); }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .75rem .3rem 0; border-top: 1px solid var(--line);
  font-weight: normal; }
thead th { border-top: 0; color: var(--quiet); font-size: .8rem; }
pre { background: var(--soft); border-radius: .4rem; padding: .75rem; overflow-x: auto; margin: .25rem 0; }
@media (max-width: 50rem) { body { display: block; }
  nav { position: static; max-height: none; border-right: 0; border-bottom: 1px solid var(--line); } }
"""
