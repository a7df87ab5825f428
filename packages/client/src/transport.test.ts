import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sendsInTheClear, toBaseUrl } from './transport.ts';

test('an address for agents is accepted as the address of the REST API', () => {
  assert.equal(toBaseUrl('ws://localhost:8080').href, 'http://localhost:8080/');
  assert.equal(toBaseUrl('wss://backhaul.example.com').href, 'https://backhaul.example.com/');
  assert.equal(toBaseUrl('ws://backhaul.example.com:443').href, 'http://backhaul.example.com:443/');
});

test('a path is kept, query and fragment are removed', () => {
  assert.equal(
    toBaseUrl('https://example.com/tools/backhaul?x=1#y').href,
    'https://example.com/tools/backhaul/',
  );
});

test('an invalid address is refused with an error that does not contain a password', () => {
  assert.throws(() => toBaseUrl('localhost'), TypeError);
  assert.throws(() => toBaseUrl('localhost:8080'), /must start with http/);
  assert.throws(() => toBaseUrl('ftp://example.com'), /must start with http/);
  assert.throws(
    () => toBaseUrl('https://ops:hunter2@example.com'),
    (error: Error) => /user name/.test(error.message) && !error.message.includes('hunter2'),
  );
});

test('only plain HTTP to another machine would send a token unencrypted', () => {
  const clear = (url: string) => sendsInTheClear(toBaseUrl(url));
  for (const url of ['http://host', 'ws://10.0.0.1:8080', 'http://127.0.0.1.example.com'])
    assert.ok(clear(url), url);
  for (const url of ['https://host', 'wss://host', 'http://localhost:1', 'ws://[::1]'])
    assert.ok(!clear(url), url);
});
