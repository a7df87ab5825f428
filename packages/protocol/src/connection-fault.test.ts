import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainConnectionFault, type FaultContext } from './connection-fault.ts';

const context: FaultContext = {
  host: 'backhaul.example.com:443',
  addressSetting: '--server-url',
  authoritySetting: '--ca-file or NODE_EXTRA_CA_CERTS',
  proxy: null,
};
const proxy = { variable: 'HTTPS_PROXY', address: 'http://proxy.lan:3128' };
const failed = (code: string, more: object = {}) => Object.assign(new Error('x'), { code, ...more });

test('lasting faults are distinguished from temporary ones', () => {
  const lasting = [
    'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
    'SELF_SIGNED_CERT_IN_CHAIN',
    'DEPTH_ZERO_SELF_SIGNED_CERT',
    'CERT_HAS_EXPIRED',
    'CERT_NOT_YET_VALID',
    'ERR_TLS_CERT_ALTNAME_INVALID',
    'EPROTO',
    'HPE_INVALID_CONSTANT',
  ];
  for (const code of lasting)
    assert.equal(explainConnectionFault(failed(code), context)?.isLasting, true, code);
  for (const code of ['ENOTFOUND', 'EAI_AGAIN', 'ECONNREFUSED', 'ETIMEDOUT', 'ECONNRESET', 'EHOSTUNREACH']) {
    assert.equal(explainConnectionFault(failed(code), context)?.isLasting, false, code);
  }
  assert.equal(explainConnectionFault(failed('EUNHEARDOF'), context), null);
  assert.equal(explainConnectionFault(new Error('no code'), context), null);
  assert.equal(explainConnectionFault(undefined, context), null);
});

test('each status of a proxy has its sentence', () => {
  const tunnel = (statusCode?: number) =>
    explainConnectionFault(failed('ERR_PROXY_TUNNEL', { statusCode }), { ...context, proxy });
  assert.match(tunnel(407)?.sentence ?? '', /user name and password.*HTTPS_PROXY=http:\/\/USER:PASSWORD@/);
  assert.equal(tunnel(407)?.isLasting, true);
  assert.deepEqual(tunnel(401), tunnel(407), 'tinyproxy, to a wrong password');
  assert.match(tunnel(403)?.sentence ?? '', /refuses to connect to backhaul\.example\.com:443/);
  assert.deepEqual(tunnel(502), {
    sentence: 'the proxy http://proxy.lan:3128 could not connect to backhaul.example.com:443 (502)',
    isLasting: false,
  });
  assert.equal(tunnel()?.isLasting, false);
});

test('a nested cause is found, as is that of one of several addresses', () => {
  const nested = new TypeError('fetch failed', { cause: failed('CERT_HAS_EXPIRED') });
  assert.match(explainConnectionFault(nested, context)?.sentence ?? '', /has expired/);
  const several = new AggregateError([failed('ECONNREFUSED'), failed('ECONNREFUSED')]);
  assert.match(explainConnectionFault(several, context)?.sentence ?? '', /nothing listens/);
});
