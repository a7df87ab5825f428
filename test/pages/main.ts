/**
 * Runs every command of README.md and docs/*.md as written, page by page, without an installed Backhaul: in a copy of the
 * sources without node_modules, with a separate home and, for pages about installing, with disposable copies of
 * /etc, /opt and /root. Blocks that cannot run on a test machine are marked in the page and only checked.
 *
 *     npm run test:pages
 *     npm run test:pages -- README.md
 */
import { spawnSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { CheckoutCopy } from '../../tools/checkout-copy.ts';
import { type Block, blocksOf } from './read-page.ts';
import { AGENT_CONNECTED, Terminal } from './terminal.ts';

const root = path.join(import.meta.dirname, '..', '..');

/** Pages about an installed machine, in the order in which they build on each other. */
const installedPages = ['docs/install.md', 'docs/backup.md', 'docs/tokens.md', 'docs/monitoring.md'];
/** Only these pages, and sections about Windows, may have blocks that a test machine cannot run. */
const mayNeed: Readonly<Record<string, readonly string[]>> = {
  'docs/aws.md': ['aws'],
  'docs/containers.md': ['docker'],
};
/** npm commands that `.ci/run` runs; they are not repeated here. */
const steps = new Set(
  (await readFile(path.join(root, '.ci', 'run'), 'utf8')).match(/npm (?:test\b|run [\w:]+)/g),
);

const keepsRunning =
  /^(?:npx |\S*\/)?backhaul-(?:server(?! backup)|agent|object-store)\b(?!.* --(?:help|version))/;

const requested = process.argv.slice(2);
const pages = ['README.md', ...(await readdir(path.join(root, 'docs'))).map((name) => `docs/${name}`)]
  .filter((page) => page.endsWith('.md') && (requested.length === 0 || requested.includes(page)))
  .toSorted((a, b) => orderOf(a) - orderOf(b));
const results = { run: 0, elsewhere: 0, marked: 0, failed: 0 };

const isRoot = process.getuid?.() === 0;
if (isRoot && process.env['BACKHAUL_PAGES_INSIDE'] === undefined) {
  // A separate mount namespace, so that pages may write into /etc.
  const { status } = spawnSync(
    'unshare',
    [
      '--mount',
      '--propagation',
      'private',
      process.execPath,
      ...process.execArgv,
      import.meta.filename,
      ...requested,
    ],
    { stdio: 'inherit', env: { ...process.env, BACKHAUL_PAGES_INSIDE: '1' } },
  );
  process.exit(status ?? 1);
}

const scratch = await mkdtemp(path.join(tmpdir(), 'backhaul-pages-'));
const terminals: Terminal[] = [];
try {
  await using copy = await CheckoutCopy.of(root);
  // The pages install node_modules themselves.
  await rm(path.join(copy.root, 'node_modules'), { recursive: true, force: true });
  const home = path.join(scratch, 'home');
  await mkdir(home);
  const env = { HOME: home, PATH: plainPath(), LANG: 'C.UTF-8', TERM: 'dumb' };
  const checkout = { cwd: copy.root, env, scratch };
  const here = pages.filter((page) => !installedPages.includes(page));
  for (const page of here) await runBlocks(page, await readBlocks(page), checkout);
  const installed = pages.filter((page) => installedPages.includes(page));
  if (installed.length > 0 && !isRoot) {
    console.log(`not run: ${installed.join(', ')}: installing needs root`);
  } else if (installed.length > 0) {
    const machine = await prepareMachine(copy.root);
    const sections = await Promise.all(
      installed.map(async (page) => ({ page, blocks: await readBlocks(page) })),
    );
    // Blocks about uninstalling run last.
    const removal = sections.flatMap(({ page, blocks }) => {
      const start = blocks.findIndex(({ before }) => /^## Uninstall$/m.test(before));
      return start < 0 ? [] : [{ page, blocks: blocks.splice(start) }];
    });
    for (const { page, blocks } of [...sections, ...removal]) await runBlocks(page, blocks, machine);
  }
} finally {
  for (const terminal of terminals) await terminal.close();
  spawnSync('bash', [
    '-c',
    `cat ${scratch}/services/*.pid 2>/dev/null | xargs -r -n1 sh -c 'kill -KILL -- -$0'`,
  ]);
  spawnSync('umount', ['--lazy', path.join(scratch, 'overlay')]);
  await rm(scratch, { recursive: true, force: true });
}
console.log(
  `\n${results.run} blocks run as written, ${results.elsewhere} by other steps of .ci/run, ${results.marked} only checked ` +
    `(they need AWS, Docker or Windows), ${results.failed} failed`,
);
process.exitCode = results.failed > 0 ? 1 : 0;

interface Machine {
  readonly cwd: string;
  readonly env: Readonly<Record<string, string>>;
  readonly scratch: string;
}

function orderOf(page: string): number {
  const index = installedPages.indexOf(page);
  return page === 'README.md' ? -1 : index + 1;
}

async function readBlocks(page: string): Promise<Block[]> {
  return blocksOf(page, await readFile(path.join(root, page), 'utf8'));
}

async function runBlocks(page: string, blocks: readonly Block[], machine: Machine): Promise<void> {
  let terminal: Terminal | undefined;
  let running: Terminal[] = [];
  const startedAt = performance.now();
  for (const block of blocks) {
    const where = `${page}:${block.line}`;
    if (block.needs !== null) {
      checkMarked(block, where);
      continue;
    }
    if (block.language !== 'sh') continue;
    const lines = commandsOf(block.text);
    if (
      lines.length > 0 &&
      lines.every((line) => steps.has(/^npm (?:test\b|run [\w:]+)/.exec(line)?.[0] ?? ''))
    ) {
      results.elsewhere += 1;
      continue;
    }
    // The text asks the reader to stop the running programs.
    if (/\bCtrl-C\b/.test(block.before) && /\b[Ss]top\b/.test(block.before)) {
      for (const each of running) await each.close();
      running = [];
    }
    // A new terminal, if the text asks for one or a program occupies this one.
    if (terminal !== undefined && /another terminal/.test(block.before)) terminal = undefined;
    if (terminal === undefined) {
      terminal = new Terminal(machine);
      terminals.push(terminal);
    }
    const last = lines.at(-1) ?? '';
    const isRunning = keepsRunning.test(last);
    const ok = isRunning ? await terminal.start(block.text, isReady(last)) : await terminal.run(block.text);
    results.run += 1;
    if (!ok) {
      results.failed += 1;
      console.log(`✖ ${where}\n${indent(block.text)}\n  output:\n${indent(terminal.output.slice(-3000))}`);
      break;
    }
    if (isRunning) {
      running.push(terminal);
      terminal = undefined;
    }
  }
  await terminal?.close();
  for (const each of running) await each.close();
  console.log(`${page}: ${blocks.length} blocks, ${((performance.now() - startedAt) / 1000).toFixed(1)} s`);
}

/** Lines of commands, joined where a backslash continues them, without comments. */
function commandsOf(text: string): string[] {
  return text
    .replaceAll(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#.*$/, '').trim())
    .filter((line) => line !== '');
}

/** Returns a check whether a program is ready, by its output or its response. */
function isReady(command: string): (output: string) => boolean | Promise<boolean> {
  if (/backhaul-server/.test(command)) {
    return async () => {
      const response = await fetch('http://localhost:8080/readyz').catch(() => undefined);
      await response?.body?.cancel();
      return response?.ok === true;
    };
  }
  const ready = /backhaul-agent/.test(command) ? AGENT_CONNECTED : /\blistening\b/;
  return (output) => ready.test(output);
}

/** Checks a block that cannot run. Counts and prints problems instead of throwing. */
function checkMarked({ page, language, text, needs, before }: Block, where: string): void {
  const isAllowed =
    needs === 'windows' ? /windows/i.test(before) : mayNeed[page]?.includes(needs ?? '') === true;
  const problem = isAllowed
    ? syntaxProblem(language, text)
    : `this page must not have blocks that need ${needs}`;
  console.log(
    `${problem === undefined ? 'checked' : '✖'} ${where} (needs ${needs})${problem === undefined ? '' : `: ${problem}`}`,
  );
  results.marked += 1;
  if (problem !== undefined) results.failed += 1;
}

function syntaxProblem(language: string, text: string): string | undefined {
  if (language === 'json') {
    try {
      JSON.parse(text);
      return undefined;
    } catch (error) {
      return String(error);
    }
  }
  if (language !== 'sh') return undefined;
  const { status, stderr } = spawnSync('bash', ['-n'], { input: text, encoding: 'utf8' });
  return status === 0 ? undefined : stderr;
}

/** PATH without the directories that npm has added. */
function plainPath(): string {
  const own = (process.env['PATH'] ?? '').split(':');
  return own.filter((directory) => !directory.includes('node_modules')).join(':');
}

/** Passes on this machine's npm mirror, which a newly installed Node.js does not know. */
function registry(): Record<string, string> {
  const configured = (name: string): string =>
    spawnSync('npm', ['config', 'get', name], {
      encoding: 'utf8',
      env: { ...process.env, PATH: plainPath() },
    }).stdout;
  return Object.fromEntries(
    ['registry', 'cafile', 'https-proxy', 'noproxy'].flatMap((name) => {
      const value = configured(name).trim();
      return ['', 'null', 'undefined'].includes(value)
        ? []
        : [[`npm_config_${name.replace('-', '_')}`, value]];
    }),
  );
}

/** Prepares a machine without an installation, with an object store and stand-ins for nodejs.org and systemd. */
async function prepareMachine(checkout: string): Promise<Machine> {
  const overlay = path.join(scratch, 'overlay');
  await mkdir(overlay);
  const setUp = [
    `mount -t tmpfs none ${overlay}`,
    ...['/etc', '/opt', '/root', '/srv', '/var/lib'].flatMap((directory) => {
      const name = directory.replaceAll('/', '_');
      return [
        `mkdir -p ${overlay}/${name}/upper ${overlay}/${name}/work`,
        `mount -t overlay overlay -o lowerdir=${directory},upperdir=${overlay}/${name}/upper,workdir=${overlay}/${name}/work ${directory}`,
      ];
    }),
  ];
  const { status, stderr } = spawnSync('bash', ['-ec', setUp.join('\n')], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`cannot create overlays of /etc and other directories: ${stderr}`);
  const standIns = path.join(import.meta.dirname, 'stand-ins');
  await mkdir(path.join(scratch, 'services'));
  const store = new Terminal({ cwd: scratch, env: { PATH: plainPath() }, scratch });
  terminals.push(store);
  const program = path.join(root, 'packages', 'object-store', 'bin', 'backhaul-object-store.js');
  const keys = '--access-key AKEXAMPLE0 --secret-key SKEXAMPLE0';
  const command = `${process.execPath} ${program} --port 9100 --region eu-central-1 --data ${scratch}/store --bucket my-app-uploads ${keys}\n`;
  if (!(await store.start(command, (output) => output.includes('listening')))) throw new Error(store.output);
  await writeFile(
    path.join(scratch, 'services', 'environment'),
    'S3_ENDPOINT=http://localhost:9100\nAWS_ACCESS_KEY_ID=AKEXAMPLE0\nAWS_SECRET_ACCESS_KEY=SKEXAMPLE0\n',
  );
  return {
    cwd: checkout,
    scratch,
    env: {
      HOME: '/root',
      ...registry(),
      PATH: `${standIns}:${plainPath()}`,
      LANG: 'C.UTF-8',
      TERM: 'dumb',
      PAGES_SERVICES: path.join(scratch, 'services'),
      PAGES_NODE: process.execPath,
    },
  };
}

function indent(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '    ');
}
