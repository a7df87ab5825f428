import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { after, before, describe, test } from 'node:test';
import { type TemporaryDirectory, temporaryDirectory } from '../harness/temporary-directory.ts';
import { checkTypes } from './check-types.ts';
import { idleRssBytes } from '../harness/installation/idle-rss.ts';
import { Installation } from '../harness/installation/installation.ts';
import { plainNpm } from '../harness/installation/plain-npm.ts';
import { pullAndCompare } from './pull-and-compare.ts';
import { packPackages, type Tarball } from '../harness/installation/tarballs.ts';

const MAX_AGENT_BYTES = 600_000;
const MAX_CLI_BYTES = 600_000;
const MAX_IDLE_RSS_BYTES = 70_000_000;

const programs = ['backhaul-server', 'backhaul-agent', 'backhaul', 'backhaul-object-store'] as const;
/** Folders of tests, doubles and their data in any package. */
const notForUsers = /(^|\/)(src|tests?|testing|fakes?|vectors|bench|demo|fixtures)\/|\.test\./;

/** Makes Node.js report an older version, so that no older Node.js needs to be installed. */
const olderNode = `--import=data:text/javascript,${encodeURIComponent(
  "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '22.23.0' } })",
)}`;

const leastNode = (name: string): string => (name === 'backhaul-server' ? '24.9' : '24.5');

let place: TemporaryDirectory;
let tarballs: ReadonlyMap<string, Tarball>;
let all: Installation;

before(async () => {
  place = await temporaryDirectory();
  tarballs = await packPackages(place.path, { signal: AbortSignal.timeout(120_000) });
  all = await Installation.make(place.join('all'), tarballs.values());
});
after(() => place[Symbol.asyncDispose]());

describe('a tarball', () => {
  test('is made of each package that is published', () => {
    const expected = [...programs, '@backhaul/client', '@backhaul/program', '@backhaul/protocol'].toSorted();
    assert.deepEqual([...tarballs.keys()].toSorted(), expected);
  });

  test('holds compiled code with its types, a licence and a readme; no sources, tests or doubles', () => {
    for (const { name, files } of tarballs.values()) {
      const paths = files.map((file) => file.path);
      for (const needed of ['LICENSE', 'README.md', 'package.json']) assert.ok(paths.includes(needed), name);
      assert.ok(
        paths.some((file) => file.endsWith('.js')),
        name,
      );
      // A single-file program exports nothing to import, and has to list its bundled libraries.
      const isBundled = name === 'backhaul-agent' || name === 'backhaul';
      assert.equal(
        paths.some((file) => file.endsWith('.d.ts')),
        !isBundled,
        name,
      );
      assert.equal(paths.includes('THIRD-PARTY-NOTICES.txt'), isBundled, name);
      const sources = paths.filter((file) => /\.[cm]?tsx?$/.test(file) && !file.endsWith('.d.ts'));
      assert.deepEqual(sources, [], name);
      const others = paths.filter((file) => notForUsers.test(file));
      assert.deepEqual(others, [], name);
    }
  });

  test('of a program can be executed, and asks npm for the Node.js that it needs', async () => {
    for (const name of programs) {
      const shim = tarballs.get(name)?.files.find(({ path: file }) => file === `bin/${name}.js`);
      assert.ok(shim, name);
      assert.equal(shim.mode & 0o111, 0o111, name);
      const text = await readFile(path.join(all.directory, 'node_modules', name, 'package.json'), 'utf8');
      assert.deepEqual(
        (JSON.parse(text) as { engines: unknown }).engines,
        { node: `>=${leastNode(name)}` },
        name,
      );
    }
  });
});

describe('installed by npm install', () => {
  for (const name of programs) {
    test(`${name} tells its version and how it is used`, async () => {
      await using version = all.start(name, ['--version']);
      const { stdout, stderr, code } = await version.exit;
      assert.deepEqual({ stdout, stderr, code }, { stdout: `${versionOf(name)}\n`, stderr: '', code: 0 });
      await using help = all.start(name, ['--help']);
      const answer = await help.exit;
      assert.equal(answer.code, 0, answer.stderr);
      assert.ok(answer.stdout.includes(name));
    });

    test(`${name} is started by npx`, async () => {
      const answer = await plainNpm('npx', ['--no', '--', name, '--version'], { cwd: all.directory });
      assert.equal(answer, `${versionOf(name)}\n`);
    });
  }

  test('server, agent and command line pull a file, and end by SIGTERM with nothing left running', async () => {
    await pullAndCompare(place.join('pull-all'), { server: all, agent: all, cli: all });
  });

  for (const name of programs) {
    test(`${name} refuses an older Node.js in one sentence`, async () => {
      await using program = all.start(name, ['--version'], { env: { NODE_OPTIONS: olderNode } });
      const { code, stdout, stderr } = await program.exit;
      assert.equal(code, 2, stderr);
      assert.equal(stdout, '');
      const sentence = `${name} needs Node.js ${leastNode(name)} or later; this is 22.23.0. `;
      assert.ok(stderr.startsWith(sentence) && /^[^\n]+\n$/.test(stderr), stderr);
    });
  }

  test('the client brings its types', async () => {
    assert.equal(await checkTypes(all, 'pull-once.ts'), '');
  });

  function versionOf(name: string): string {
    return tarballs.get(name)?.version ?? 'none';
  }
});

describe('the command line installed alone', () => {
  let cli: Installation;
  before(async () => {
    const own = tarballs.get('backhaul');
    assert.ok(own);
    cli = await Installation.make(place.join('cli'), [own]);
  });

  test('brings nothing with it, and is small', async (context) => {
    assert.deepEqual(await cli.packages(), ['backhaul']);
    const bytes = await cli.sizeBytes();
    context.diagnostic(`command line installed: ${bytes} bytes of node_modules`);
    assert.ok(bytes < MAX_CLI_BYTES, `${bytes} bytes`);
  });

  test('triggers, follows, fetches and compares a file', async () => {
    await pullAndCompare(place.join('pull-cli-alone'), { server: all, agent: all, cli });
  });
});

describe('the agent installed alone', () => {
  let agent: Installation;
  before(async () => {
    const own = tarballs.get('backhaul-agent');
    assert.ok(own);
    agent = await Installation.make(place.join('agent'), [own]);
  });

  test('brings nothing with it, and is small', async (context) => {
    const packages = await agent.packages();
    assert.deepEqual(packages, ['backhaul-agent']);
    const bytes = await agent.sizeBytes();
    context.diagnostic(`agent installed: ${bytes} bytes of node_modules`);
    assert.ok(bytes < MAX_AGENT_BYTES, `${bytes} bytes`);
  });

  test('has its file pulled', async () => {
    await pullAndCompare(place.join('pull-alone'), { server: all, agent, cli: all });
  });

  describe(
    'connected and idle',
    { skip: process.platform !== 'linux' && 'memory is looked up in /proc' },
    () => {
      test('takes at most 70 MB of memory', async (context) => {
        const rssBytes = await idleRssBytes(agent);
        context.diagnostic(`agent idle: ${(rssBytes / 1e6).toFixed(1)} MB resident`);
        assert.ok(rssBytes <= MAX_IDLE_RSS_BYTES, `${rssBytes} bytes`);
      });
    },
  );
});
