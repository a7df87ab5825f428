import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { blocksOf } from './read-page.ts';

const page = [
  'Some words.',
  '',
  '<!-- needs: aws -->',
  '',
  '```sh',
  'aws s3 ls',
  '```',
  '',
  '1. In a list:',
  '',
  '   ```json',
  '   { "a": 1 }',
  '   ```',
  '',
  '```',
  'no command',
  '```',
].join('\n');

test('blocks are read with their language, their line, the words before and what they need', () => {
  assert.deepEqual(
    blocksOf('docs/x.md', page).map(({ line, language, text, needs }) => ({ line, language, text, needs })),
    [
      { line: 5, language: 'sh', text: 'aws s3 ls\n', needs: 'aws' },
      { line: 11, language: 'json', text: '{ "a": 1 }\n', needs: null },
      { line: 15, language: '', text: 'no command\n', needs: null },
    ],
  );
  assert.match(blocksOf('docs/x.md', page)[1]?.before ?? '', /In a list/);
});

test('every block of a page that a shell can run is marked as one, and every mark is understood', () => {
  const root = path.join(import.meta.dirname, '..', '..');
  const pages = ['README.md', ...readdirSync(path.join(root, 'docs')).map((name) => `docs/${name}`)];
  for (const name of pages.filter((each) => each.endsWith('.md'))) {
    const text = readFileSync(path.join(root, name), 'utf8');
    const blocks = blocksOf(name, text);
    for (const { language, line } of blocks) {
      assert.ok(
        !/^(?:bash|shell|console|zsh|powershell|ps1)$/.test(language),
        `${name}:${line}: write \`\`\`sh`,
      );
    }
    const marked = blocks.filter(({ needs }) => needs !== null);
    assert.equal(
      marked.length,
      (text.match(/<!--\s*needs:/g) ?? []).length,
      `${name}: a mark must be directly before a fence`,
    );
  }
});
