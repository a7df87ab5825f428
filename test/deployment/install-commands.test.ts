import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';

const root = join(import.meta.dirname, '../..');

/** Here npx finds our programs in the checkout; elsewhere it looks the name up in the public registry. */
const inCheckout = /(?:in this directory|from the root of the repository), after `npm ci`/i;
const byNpx = /\bnpx (?!--no -- )(?:-\S+ )*(?:@backhaul\/|backhaul)[\w-]*/g;
/** Installs by name instead of by file; a file begins with `./`. */
const byName =
  /\bnpm (?:i|install|add|exec)\b(?:[^\n\\`]|\\\n)*? (?:@backhaul\/[\w-]+|backhaul[\w-]*)(?![\w-]*\.tgz)(?=[\s`@]|$)/g;

/** Splits a page at its second-level headings; the part before them is included. */
function sectionsOf(text: string): string[] {
  return text.split(/^(?=## )/m);
}

function unsafe(text: string): string[] {
  return sectionsOf(text).flatMap((section) => [
    ...[...section.matchAll(byNpx)]
      .filter(({ index }) => !inCheckout.test(section.slice(0, index)))
      .map(([command]) => command),
    ...[...section.matchAll(byName)].map(([command]) => command),
  ]);
}

test('no page has a command that runs a package which somebody else may have registered', async () => {
  const { stdout } = spawnSync('git', ['ls-files', '*.md', 'deploy', 'Dockerfile', 'docker-compose.yml'], {
    cwd: root,
    encoding: 'utf8',
  });
  const files = stdout.trimEnd().split('\n');
  assert.ok(files.includes('README.md') && files.includes('docs/install.md') && files.length > 20);
  const found: string[] = [];
  for (const file of files) {
    for (const command of unsafe(await readFile(join(root, file), 'utf8'))) found.push(`${file}: ${command}`);
  }
  assert.deepEqual(found, []);
});

test('such a command is found, and one in the checkout is accepted', () => {
  const safe = 'Three terminals in this directory, after `npm ci`:\n\nnpx backhaul-server --dev\n';
  assert.deepEqual(unsafe(`## One\n\n${safe}`), []);
  assert.deepEqual(unsafe(`## One\n\n${safe}\n## Two\n\nnpx backhaul-agent --version\n`), [
    'npx backhaul-agent',
  ]);
  assert.deepEqual(unsafe('npx -y @backhaul/agent'), ['npx -y @backhaul/agent']);
  assert.deepEqual(unsafe('npx --no -- backhaul-agent'), []);
  assert.deepEqual(unsafe('npm install -g backhaul-agent\n'), ['npm install -g backhaul-agent']);
  assert.deepEqual(
    unsafe('npm install --prefix /opt/backhaul --no-audit \\\n  backhaul-agent@0.1.0\n').length,
    1,
  );
  assert.deepEqual(unsafe('npm install --prefix /opt/backhaul \\\n  ./backhaul-agent-0.1.0.tgz\n'), []);
});

test('Node.js is installed only once its checksum has been compared', async () => {
  const [, block = ''] =
    /```sh\n([^`]*SHASUMS256\.txt[^`]*)```/.exec(await readFile(join(root, 'docs/install.md'), 'utf8')) ?? [];
  assert.match(block, /https:\/\/nodejs\.org\/dist\//);
  assert.match(block, /sha256sum --check --strict &&\n[^\n]*&&\n\s+tar /);
});
