// Makes web/built/page.js of page.ts by taking its types off; nothing is renamed, bundled or fetched.
//   node web/build.mjs           writes it
//   node web/build.mjs --check   says whether it is up to date
import { readFileSync, writeFileSync } from "node:fs";
import { stripTypeScriptTypes } from "node:module";

const source = new URL("page.ts", import.meta.url);
const target = new URL("built/page.js", import.meta.url);
const head = "// Made of web/page.ts by web/build.mjs.\n";
// Types become blanks, which only cost bytes at the end of a line.
const stripped = stripTypeScriptTypes(readFileSync(source, "utf8")).replace(/[ \t]+$/gm, "").replace(/\n{3,}/g, "\n\n");
if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== head + stripped) {
    console.error("web/built/page.js is not what web/page.ts makes; run: node web/build.mjs");
    process.exit(1);
  }
} else {
  writeFileSync(target, head + stripped);
}
