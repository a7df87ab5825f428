import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { test } from 'node:test';
import { ClientAddresses } from './client-addresses.ts';

function request(remoteAddress: string, forwardedFor?: string, httpVersion = '1.1'): IncomingMessage {
  const headers = forwardedFor === undefined ? {} : { 'x-forwarded-for': forwardedFor };
  return { headers, httpVersion, socket: { remoteAddress } } as unknown as IncomingMessage;
}

test('only entries of X-Forwarded-For added by trusted proxies count', () => {
  const addresses = new ClientAddresses(['10.0.0.0/8', 'fd00::1']);
  const cases: readonly (readonly [string, string | undefined, string])[] = [
    ['192.0.2.7', '203.0.113.9', '192.0.2.7'],
    ['10.0.0.5', '203.0.113.9', '203.0.113.9'],
    ['::ffff:10.0.0.5', '203.0.113.9', '203.0.113.9'],
    ['fd00::1', '2001:db8::9', '2001:db8::9'],
    // The leftmost entry is written by the client itself.
    ['10.0.0.5', '127.0.0.1, 198.51.100.1, 203.0.113.9', '203.0.113.9'],
    ['10.0.0.5', '198.51.100.1, 203.0.113.9, 10.1.1.1', '203.0.113.9'],
    ['10.0.0.5', '203.0.113.9:4711', '203.0.113.9'],
    ['10.0.0.5', '[2001:db8::9]:4711', '2001:db8::9'],
    ['10.0.0.5', 'unknown', '10.0.0.5'],
    ['10.0.0.5', undefined, '10.0.0.5'],
    ['10.0.0.5', '10.0.0.6', '10.0.0.6'],
  ];
  for (const [peer, header, expected] of cases) {
    assert.equal(addresses.of(request(peer, header)), expected, `${peer} ${header}`);
  }
  assert.equal(new ClientAddresses([]).of(request('10.0.0.5', '203.0.113.9')), '10.0.0.5');
});

test('a proxied request is recognized by its address, its headers or HTTP/1.0', () => {
  const addresses = new ClientAddresses(['10.0.0.5']);
  assert.equal(addresses.cameThroughProxy(request('10.0.0.5')), true);
  assert.equal(addresses.cameThroughProxy(request('192.0.2.7', '203.0.113.9')), true);
  assert.equal(addresses.cameThroughProxy(request('192.0.2.7', undefined, '1.0')), true);
  assert.equal(addresses.cameThroughProxy(request('192.0.2.7')), false);
});
