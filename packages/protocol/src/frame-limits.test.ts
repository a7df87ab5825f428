import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { agentFrameLimits, frameProblem, serverFrameLimits } from './frame-limits.ts';
import { agentMessageSchema, serverMessageSchema } from './index.ts';

const agents = (frame: string) => frameProblem(frame, agentFrameLimits);
const numbers = (count: number) => JSON.stringify(Array.from({ length: count }, () => 0));

describe('the shape of a frame', () => {
  test('has a limit for every message', () => {
    const kinds = (union: typeof agentMessageSchema | typeof serverMessageSchema, name: string) =>
      [...(union._zod.propValues[name] ?? [])].map(String).toSorted();
    assert.deepEqual(Object.keys(agentFrameLimits.kinds).toSorted(), kinds(agentMessageSchema, 'status'));
    assert.deepEqual(Object.keys(serverFrameLimits.kinds).toSorted(), kinds(serverMessageSchema, 'action'));
  });

  test('is refused if it is too large or has too many values for its kind', () => {
    assert.equal(agents(`{"status":"completed","parts":${numbers(20_000)}}`), null);
    assert.match(
      agents(`{"status":"hello","labels":${numbers(2000)}}`) ?? '',
      /hello.*more than 1000 values/,
    );
    assert.match(agents(`{"status":"hello","x":"${'x'.repeat(200_000)}"}`) ?? '', /hello.*characters/);
  });

  test('is checked by its name at any position, and by the strictest limit if there are two', () => {
    assert.match(agents(`{"labels":${numbers(2000)},"status" : "hello"}`) ?? '', /hello/);
    assert.match(agents(`{"status":"completed","x":${numbers(2000)},"status":"hello"}`) ?? '', /hello/);
    assert.equal(agents(`{"status":"completed","x":{"status":"hello"},"parts":${numbers(2000)}}`), null);
    assert.equal(
      agents(`{"status":"completed","x":"\\"status\\":\\"hello\\"","parts":${numbers(2000)}}`),
      null,
    );
  });

  test('without a known name must be small, also if the name is hidden by escapes', () => {
    for (const name of ['teleport', 'hell\\u006f', '__proto__']) {
      assert.equal(agents(`{"status":"${name}"}`), null);
      assert.match(agents(`{"status":"${name}","x":${numbers(2000)}}`) ?? '', /no known status/);
    }
    assert.match(agents(`{"st\\u0061tus":"hello","x":${numbers(2000)}}`) ?? '', /no known status/);
  });

  test('is refused if it is too deep, without checking the rest', () => {
    assert.match(agents('['.repeat(1_000_000)) ?? '', /deeper/);
    assert.match(agents(`{"status":"completed","x":${'{"a":'.repeat(20_000)}`) ?? '', /deeper/);
  });
});
