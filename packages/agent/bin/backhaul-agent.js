#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 5)) {
  console.error(
    `backhaul-agent needs Node.js 24.5 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
// Calls into a file system that hangs hold their threads of libuv's pool, which has four by default and serves name
// resolution too. It reads this when it is first used, which must not have happened yet. A thread costs some 8 kB.
process.env.UV_THREADPOOL_SIZE ??= '32';
// A small young generation, no baseline and no mid-tier compiler, one thread for V8's own work: 5 MB less at rest, at
// the same speed, for what is hot here is native. V8 takes these at its start only, hence the same process once more; never where they are given already.
const { restartWith } = await import('./restart-with.js');
// The authorities that the system trusts count too: companies put theirs there. They take 2 MB from the start, so not
// where the server is reached without TLS; a store with it finds them later.
const usesTls = [process.env.BACKHAUL_URL, ...process.argv].some((text) =>
  /^(?:--server-url=)?(?:wss|https):/i.test(text ?? ''),
);
restartWith([
  ...(usesTls ? ['--use-system-ca'] : []),
  '--max-semi-space-size=1',
  '--no-maglev',
  '--no-sparkplug',
  '--v8-pool-size=1',
]);
const { main } = await import('#main');
await main();
