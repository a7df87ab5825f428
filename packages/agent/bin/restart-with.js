/**
 * Starts this very process once more, with flags of Node.js and V8 that the command line and NODE_OPTIONS do not give.
 * Not where that is impossible or would lose something: on Windows, under Node.js's permission model, and with a parent
 * that talks to this process by IPC. The program works without them: they save memory, or what they do is done later.
 *
 * @param {readonly string[]} flags
 */
export function restartWith(flags) {
  const environment = (process.env.NODE_OPTIONS ?? '').split(' ');
  const given = new Set([...process.execArgv, ...environment].map(nameOf));
  const missing = flags.filter((flag) => !given.has(nameOf(flag)));
  if (missing.length === 0 || process.platform === 'win32') return;
  if (process.permission !== undefined || process.channel !== undefined) return;
  const args = [process.execPath, ...missing, ...process.execArgv, ...process.argv.slice(1)];
  process.execve?.(process.execPath, args);
}

function nameOf(flag) {
  return flag.replace(/=.*$/, '').replace(/^--no-/, '--');
}
