#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 9)) {
  console.error(
    `backhaul-server needs Node.js 24.9 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
// What requests leave behind is garbage at once. V8's young generation would grow to 48 MB before it looks, more than all
// else here takes. V8 takes this at its start only, hence the same process once more; never where it is given already.
const { restartWith } = await import('./restart-with.js');
// The authorities that the system trusts count too: companies put theirs there.
restartWith(['--use-system-ca', '--max-semi-space-size=8']);
const { main } = await import('#main');
await main();
