import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { parseEnv } from 'node:util';
import { informationFor } from '../help.ts';
import { configurationPage, envExample, wrapWords } from './render-settings.ts';
import { settingNames, settingOf } from './settings.ts';

const root = new URL('../../../../', import.meta.url);

for (const [file, render] of [
  ['docs/configuration.md', configurationPage],
  ['.env.example', envExample],
] as const) {
  test(`${file} is up to date with the table of settings`, async () => {
    assert.equal(await readFile(new URL(file, root), 'utf8'), render());
  });
}

test('help, .env.example and the page name every setting', () => {
  const help = informationFor(['--help']) ?? '';
  const envNames = Object.keys(parseEnv(envExample().replaceAll(/^# (?=[A-Z0-9_]+=)/gm, '')));
  assert.deepEqual(envNames.toSorted(), settingNames.toSorted());
  for (const name of settingNames) {
    assert.match(help, new RegExp(`^    ${name}$`, 'm'));
    assert.ok(configurationPage().includes(`### \`${name}\`\n`), name);
  }
});

test('every default and every example is valid by its own schema', () => {
  for (const name of settingNames) {
    if (name === 'REDIS_URL') continue;
    const { schema, default: fallback, example } = settingOf(name);
    for (const text of fallback === undefined ? [example] : [example, fallback]) {
      assert.equal(schema.safeParse(text).success, true, `${name}=${text}`);
    }
  }
});

test('.env.example sets no secret', () => {
  const open = parseEnv(envExample());
  for (const name of settingNames.filter((name) => settingOf(name).secret)) {
    assert.ok((open[name] ?? '') === '', name);
  }
});

test('words are wrapped at the width, and a longer word gets its own line', () => {
  assert.deepEqual(wrapWords('aa bb ccccccc d', 5), ['aa bb', 'ccccccc', 'd']);
});
