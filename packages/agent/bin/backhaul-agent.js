#!/usr/bin/env node
// Committed, not built: npm links a bin only if its file exists at install time.
const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 24 || (major === 24 && minor < 5)) {
  console.error(
    `backhaul-agent needs Node.js 24.5 or later; this is ${process.versions.node}. From a checkout, start it with npx, which uses the pinned runtime.`,
  );
  process.exit(2);
}
// Each call into a hanging file system blocks a thread of libuv's pool, which has four by default and also serves name
// resolution. The pool reads this variable at its first use, so it must be set before. A thread costs some 8 kB.
process.env.UV_THREADPOOL_SIZE ??= '32';
// A small young generation, no baseline and no mid-tier compiler, and one V8 worker thread save 5 MB at rest. Speed is
// unchanged, because the hot code is native. V8 reads these flags only at startup, so the process is restarted with
// them, unless they are given already.
const { restartWith } = await import('./restart-with.js');
// Also trust the CA certificates of the system, where companies install their own. They take 2 MB from the start, so
// they are skipped if the server is reached without TLS; a store with TLS loads them later.
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
