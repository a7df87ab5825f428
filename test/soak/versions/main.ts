import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { fileSystemKinds } from './file-systems.ts';
import { help, parseVersionSoakOptions, type VersionSoakOptions } from './options.ts';
import { soakFileSystem } from './version-soak.ts';

const IN_NAMESPACE = 'BACKHAUL_SOAK_IN_NAMESPACE';

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Restarts this program in a namespace that removes its mounts. @returns its exit code; undefined if not possible. */
async function runInNamespace(): Promise<number | undefined> {
  if (process.getuid?.() !== 0) return undefined;
  const command = ['-m', process.execPath, fileURLToPath(import.meta.url), ...process.argv.slice(2)];
  const child = spawn('unshare', command, { stdio: 'inherit', env: { ...process.env, [IN_NAMESPACE]: '1' } });
  const pass = (signal: NodeJS.Signals) => child.kill(signal);
  process.on('SIGINT', pass).on('SIGTERM', pass);
  try {
    const [code] = (await once(child, 'exit')) as [number | null];
    return code ?? 1;
  } catch {
    return undefined;
  }
}

/** @returns whether all checks passed. */
async function soakAll({ seconds, seed, allowNoMounts }: VersionSoakOptions): Promise<boolean> {
  say(`Soak of versions: ${seconds} s on each file system, seed ${seed}`);
  const problems: string[] = [];
  for (const kind of fileSystemKinds) {
    const python = process.env['FUSEPY'] ?? 'python3';
    const results = await soakFileSystem(kind, { seconds, seed, python }, say);
    if (results === undefined) {
      if (!allowNoMounts) problems.push(`${kind.name}: not mounted (--allow-no-mounts leaves it out)`);
      continue;
    }
    say(`\n${results.render(kind.name)}`);
    problems.push(...results.problems().map((problem) => `${kind.name}: ${problem}`));
  }
  for (const problem of problems) say(`WRONG: ${problem}`);
  say(problems.length === 0 ? '\nNothing wrong.' : `\n${problems.length} things wrong; seed ${seed}`);
  return problems.length === 0;
}

async function main(): Promise<number> {
  const options = parseVersionSoakOptions(process.argv.slice(2));
  if (options === undefined) {
    say(help);
    return 0;
  }
  if (process.env[IN_NAMESPACE] !== undefined) return (await soakAll(options)) ? 0 : 1;
  const code = await runInNamespace();
  if (code !== undefined) return code;
  say('NOTHING MOUNTED: a soak of versions needs Linux, its command unshare, and root');
  return options.allowNoMounts ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`soak:versions: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
