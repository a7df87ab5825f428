#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `Backhaul needs Node.js 24 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
// What requests leave behind is garbage at once. V8's young generation would grow to 48 MB before it looks, more than all
// else here takes. V8 takes this at its start only, hence the same process once more; never where it is given already.
const { restartWith } = await import('./restart-with.js');
restartWith(['--max-semi-space-size=8']);
const { main } = await import('#main');
await main();
