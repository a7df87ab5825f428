import assert from 'node:assert/strict';
import { test } from 'node:test';
import { RateTimetable } from './rate-timetable.ts';

function parsed(text: string): RateTimetable {
  const timetable = RateTimetable.parse(text);
  assert.ok(timetable instanceof RateTimetable, JSON.stringify(timetable));
  return timetable;
}

/** A Wednesday in local time. */
const at = (hours: number, minutes = 0, day = 5) => new Date(2025, 10, day, hours, minutes);

test('a single rate always applies', () => {
  assert.equal(parsed('250000').at(at(3)), 250_000);
  assert.equal(parsed('512k').at(at(3)), 512 * 1024);
  assert.equal(parsed('1.5M').at(at(3)), 1.5 * 1024 ** 2);
  assert.equal(parsed('off').at(at(3)), null);
});

test('each daily entry applies until the next one, also over midnight', () => {
  const timetable = parsed('08:00,512k 12:30,1M 19:00,off');
  assert.equal(timetable.at(at(7, 59)), null);
  assert.equal(timetable.at(at(8)), 512 * 1024);
  assert.equal(timetable.at(at(12, 29)), 512 * 1024);
  assert.equal(timetable.at(at(12, 30)), 1024 ** 2);
  assert.equal(timetable.at(at(19)), null);
  assert.equal(timetable.at(at(0)), null);
  assert.equal(timetable.at(at(0, 0, 2)), null, 'on Sunday, the first day');
});

test('entries of weekdays apply until the next one, also over the end of the week', () => {
  const timetable = parsed('Mon-08:00,512k Fri-19:00,off');
  assert.equal(timetable.at(at(3)), 512 * 1024);
  assert.equal(timetable.at(at(18, 59, 7)), 512 * 1024);
  assert.equal(timetable.at(at(19, 0, 7)), null);
  assert.equal(timetable.at(at(12, 0, 9)), null, 'on Sunday');
  assert.equal(timetable.at(at(7, 59, 10)), null);
  assert.equal(timetable.at(at(8, 0, 10)), 512 * 1024);
});

for (const [text, problem] of [
  ['', /""/],
  ['fast', /"fast" is neither/],
  ['1000', /"1000" is neither a rate of 1024/],
  ['24:00,512k', /"24:00,512k"/],
  ['08:00,12', /"08:00,12"/],
  ['08:00', /"08:00"/],
  ['08:00,512k 512k', /"512k"/],
  ['Moo-08:00,512k', /"Moo-08:00,512k"/],
  ['08:00,512k 8:00,off', /two entries start at sun 08:00/],
  ['08:00,1M Wed-08:00,off', /two entries start at wed 08:00/],
] as const) {
  test(`${JSON.stringify(text)} is not a valid --max-rate`, () => {
    const timetable = RateTimetable.parse(text);
    assert.ok('problem' in timetable);
    assert.match(timetable.problem, problem);
  });
}
