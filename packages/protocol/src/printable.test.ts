import assert from 'node:assert/strict';
import { test } from 'node:test';
import { printable, printableJson } from './printable.ts';

/** Every character that controls a terminal, changes the direction of text or is invisible. */
const hostile = [
  ...Array.from({ length: 0x20 }, (_, code) => code),
  ...Array.from({ length: 0x21 }, (_, index) => 0x7f + index),
  ...[0x061c, 0x200e, 0x200f, 0x2028, 0x2029, 0x202a, 0x202b, 0x202c, 0x202d, 0x202e],
  ...[0x2066, 0x2067, 0x2068, 0x2069, 0xfeff],
  ...[0x00ad, 0x034f, 0x200b, 0x200c, 0x200d, 0x2060, 0x2061, 0x2062, 0x2063, 0x2064],
  ...[0x115f, 0x1160, 0x3164, 0xffa0],
  ...Array.from({ length: 0x80 }, (_, index) => 0xe0000 + index),
]
  .map((code) => String.fromCodePoint(code))
  .join('');

test('text from other machines can neither control a terminal nor change its direction', () => {
  assert.match(printable(`a${hostile}b`), /^a(?:\\u[0-9a-f]{4})+b$/);
  assert.equal(printable('a\u001b[31mb\r\n\u009bc\u202ed'), 'a\\u001b[31mb\\u000d\\u000a\\u009bc\\u202ed');
  assert.equal(printable('pay\u200bpal\u{e0041}'), 'pay\\u200bpal\\udb40\\udc41');
  assert.equal(printable('Größe 文件 🍕 ❤\ufe0f'), 'Größe 文件 🍕 ❤\ufe0f');
});

test('JSON for a terminal has no unprintable characters, and the same value', () => {
  const value = { [`key${hostile}`]: [hostile, 'Größe 文件 🍕', 1, null] };
  const json = printableJson(JSON.stringify(value));
  assert.deepEqual(JSON.parse(json), value);
  for (const character of hostile) assert.ok(!json.includes(character), JSON.stringify(character));
  assert.match(json, /Größe 文件 🍕/);
});
