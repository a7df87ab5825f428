#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `Backhaul needs Node.js 24 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
// A command line is started often and runs briefly: compiled code kept from the last time saves much of its start.
const { enableCompileCache } = await import('node:module');
enableCompileCache();
const { main } = await import('#main');
await main();
