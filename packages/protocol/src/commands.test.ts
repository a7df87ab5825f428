import assert from 'node:assert/strict';
import { test } from 'node:test';
import { commandNames, commands } from './commands.ts';
import { decodeServerMessage } from './codec.ts';

test('unknown parameters of a command are refused', () => {
  assert.ok(commands.health_check.parameters.safeParse({}).success);
  assert.ok(!commands.health_check.parameters.safeParse({ verbose: true }).success);
  assert.ok(!commands.list_directory.parameters.safeParse({ path: '/data', depth: 2 }).success);
  assert.ok(!commands.list_directory.parameters.safeParse({}).success);
});

test('every command has a time limit', () => {
  for (const name of commandNames) assert.ok(commands[name].timeoutMs >= 1000, name);
});

test('every command has a message with its name', () => {
  for (const name of commandNames) {
    const parameters = { path: '/data' };
    const command_id = '019ab3c2-5f00-7000-8000-0000000000c1';
    assert.ok(decodeServerMessage(JSON.stringify({ action: name, command_id, ...parameters })).ok, name);
  }
});
