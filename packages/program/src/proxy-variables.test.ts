import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { proxyFor, ProxyVariableError, readProxyVariables, unreadableProxies } from './proxy-variables.ts';

const proxy = 'http://user:secret@proxy.example.com:3128';

function isProxied(url: string, noProxy: string): boolean {
  const variables = readProxyVariables({ HTTPS_PROXY: proxy, HTTP_PROXY: proxy, NO_PROXY: noProxy });
  return proxyFor(new URL(url), variables) !== null;
}

describe('NO_PROXY', () => {
  const exempt: readonly (readonly [string, string])[] = [
    ['https://10.1.2.3/', '10.0.0.0/8'],
    ['https://10.1.2.3:9000/', 'internal.example.com 192.168.0.0/16 10.0.0.0/8'],
    ['https://[fd00::7]/', 'fd00::/8'],
    ['https://[fd00::7]/', '[fd00::7]:443'],
    ['https://s3.internal/', 'a.example.com, .internal'],
    ['https://s3.internal/', '*.internal'],
    ['https://internal/', '.internal'],
    ['wss://backhaul.example.com/', 'EXAMPLE.com'],
    ['https://backhaul.example.com./', 'example.com'],
    ['https://minio.example.com:9000/', 'minio.example.com:9000'],
    ['https://anything.example.com/', '*'],
    ['http://localhost:9000/', ''],
    ['http://127.0.0.1:9000/', ''],
    ['https://[::1]:9000/', ''],
  ];
  for (const [url, noProxy] of exempt) {
    test(`"${noProxy}" exempts ${url}`, () => assert.equal(isProxied(url, noProxy), false));
  }
  const proxied: readonly (readonly [string, string])[] = [
    ['https://11.1.2.3/', '10.0.0.0/8'],
    ['https://notexample.com/', 'example.com'],
    ['https://minio.example.com:9001/', 'minio.example.com:9000'],
    ['https://10.example.com/', '10.0.0.0/8'],
    ['https://example.com/', ' , 10.0.0.0/99 /8 300.1.1.1'],
    ['http://example.com/', ''],
  ];
  for (const [url, noProxy] of proxied) {
    test(`"${noProxy}" does not exempt ${url}`, () => assert.equal(isProxied(url, noProxy), true));
  }
});

test('each scheme has its variable, lower case takes precedence, and credentials are not shown', () => {
  const variables = readProxyVariables({ https_proxy: proxy, HTTPS_PROXY: 'http://other:1', HTTP_PROXY: '' });
  assert.deepEqual(proxyFor(new URL('wss://backhaul.example.com'), variables), {
    variable: 'HTTPS_PROXY',
    address: 'http://proxy.example.com:3128',
    proxyEnv: { HTTPS_PROXY: proxy },
  });
  assert.equal(proxyFor(new URL('http://backhaul.example.com'), variables), null);
});

test('an address without a scheme means http, as in curl', () => {
  const variables = readProxyVariables({
    HTTPS_PROXY: 'user:secret@proxy.example.com:3128',
    HTTP_PROXY: 'proxy:3128',
  });
  assert.deepEqual(unreadableProxies(variables), []);
  assert.deepEqual(proxyFor(new URL('https://backhaul.example.com'), variables)?.proxyEnv, {
    HTTPS_PROXY: 'http://user:secret@proxy.example.com:3128',
  });
  assert.deepEqual(proxyFor(new URL('http://backhaul.example.com'), variables)?.proxyEnv, {
    HTTP_PROXY: 'http://proxy:3128',
  });
});

for (const wrong of ['socks5://user:secret@proxy:1080', 'http://', 'user:secret@proxy:port', 'a proxy']) {
  test(`"${wrong}" is refused only for an address that needs it, without showing credentials`, () => {
    const variables = readProxyVariables({ HTTP_PROXY: wrong, NO_PROXY: '.internal' });
    assert.deepEqual(unreadableProxies(variables), ['HTTP_PROXY']);
    assert.throws(
      () => proxyFor(new URL('http://backhaul.example.com'), variables),
      (error: Error) => {
        assert.ok(error instanceof ProxyVariableError);
        assert.match(error.message, /^HTTP_PROXY must be the address of an HTTP proxy/);
        assert.ok(!error.message.includes('secret'));
        return true;
      },
    );
    for (const url of ['https://backhaul.example.com', 'http://store.internal', 'http://localhost:9000']) {
      assert.equal(proxyFor(new URL(url), variables), null);
    }
  });
}
