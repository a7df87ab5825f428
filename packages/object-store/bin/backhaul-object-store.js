#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 5)) {
  console.error(
    `backhaul-object-store needs Node.js 24.5 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
const { main } = await import('#main');
await main();
