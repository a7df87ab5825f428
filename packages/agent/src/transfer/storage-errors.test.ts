import assert from 'node:assert/strict';
import test from 'node:test';
import {
  hostAndPort,
  isEtag,
  classifyResponse,
  classifyError,
  classifyUnusableSuccess,
  readErrorDocument,
} from './storage-errors.ts';

const host = 'files.example.com:443';

function judge(status: number, code = '', message = ''): string {
  const failure = classifyResponse({ status, code, message, retryAfterMs: null, trusted: false, host });
  return failure.act === 'give_up' ? failure.code : failure.act;
}

test('each response of a store is classified', () => {
  const table: Array<[string, ...Parameters<typeof judge>]> = [
    ['retry', 500, 'InternalError'],
    ['retry', 503, 'SlowDown'],
    ['retry', 502],
    ['retry', 504],
    ['retry', 429],
    ['retry', 408],
    ['retry', 409, 'OperationAborted'],
    ['retry', 400, 'RequestTimeout'],
    ['retry', 400, 'IncompleteBody'],
    ['fresh_url', 403, 'AccessDenied', 'Request has expired'],
    ['fresh_url', 403, 'ExpiredToken'],
    ['fresh_url', 400, 'ExpiredToken'],
    ['fresh_url', 403, 'RequestExpired'],
    ['fresh_url', 403, 'RequestTimeTooSkewed'],
    ['fresh_url', 403, 'AccessDenied', 'Request is not valid yet'],
    ['read_again', 400, 'BadDigest'],
    ['read_again', 400, 'XAmzContentSHA256Mismatch'],
    ['storage_refused', 403, 'AccessDenied', 'Access Denied'],
    ['storage_refused', 403, 'SignatureDoesNotMatch', 'expired'],
    ['storage_refused', 400, 'InvalidArgument'],
    ['storage_refused', 404, 'NoSuchBucket'],
    ['storage_refused', 301, 'PermanentRedirect'],
    ['storage_refused', 307],
    ['storage_refused', 413],
    ['storage_refused', 501, 'NotImplemented'],
    ['upload_gone', 404, 'NoSuchUpload'],
  ];
  for (const [expected, ...response] of table) assert.equal(judge(...response), expected, response.join(' '));
});

test('a reset is not counted as a failure only on a reused connection', () => {
  const error = (code: string) => Object.assign(new Error('x'), { code });
  assert.equal(
    classifyError(error('ECONNRESET'), { reused: true, trusted: true, host, proxy: null }).act,
    'retry_at_once',
  );
  assert.equal(
    classifyError(error('ECONNRESET'), { reused: false, trusted: true, host, proxy: null }).act,
    'retry',
  );
  assert.equal(
    classifyError(error('ETIMEDOUT'), { reused: true, trusted: true, host, proxy: null }).act,
    'retry',
  );
  assert.equal(
    classifyError(error('ENOTFOUND'), { reused: false, trusted: true, host, proxy: null }).act,
    'retry',
  );
  assert.equal(
    classifyError(error('CERT_HAS_EXPIRED'), { reused: false, trusted: true, host, proxy: null }).act,
    'give_up',
  );
  assert.equal(
    classifyError(error('DEPTH_ZERO_SELF_SIGNED_CERT'), { reused: false, trusted: true, host, proxy: null })
      .act,
    'give_up',
  );
});

test('the error document is parsed strictly, and only its code is shown', () => {
  assert.deepEqual(readErrorDocument('<Error><Code>SlowDown</Code><Message>a b</Message></Error>'), {
    code: 'SlowDown',
    message: 'a b',
  });
  assert.deepEqual(readErrorDocument('<html>502 Bad Gateway</html>'), { code: '', message: '' });
  assert.deepEqual(readErrorDocument('<Code>https://x/?X-Amz-Signature=s</Code>'), { code: '', message: '' });
  const failure = classifyResponse({
    status: 403,
    code: 'AccessDenied',
    message: 'https://secret',
    retryAfterMs: null,
    trusted: true,
    host,
  });
  assert.doesNotMatch(failure.detail, /secret/);
});

test('for an untrusted address the server receives only a status class or a known S3 code', () => {
  const responses: Array<[status: number, code: string, summary: RegExp]> = [
    [403, '', /^HTTP 4xx: the store does not accept the request$/],
    [404, '', /^HTTP 4xx: the store does not accept the request$/],
    [418, 'SecretBanner1.2', /^HTTP 4xx: the store does not accept the request$/],
    [501, '', /^HTTP 5xx: the store does not accept the request$/],
    [502, 'nginx', /^HTTP 5xx$/],
    [429, '', /^HTTP 4xx$/],
    [302, 'Found', /^HTTP 3xx: redirects are not followed/],
    [413, '', /^HTTP 4xx: a part exceeds the request size limit of a proxy .*files\.example\.com:443/],
    [403, 'SignatureDoesNotMatch', /^HTTP 403 SignatureDoesNotMatch: the signature does not match: a proxy/],
    [503, 'SlowDown', /^HTTP 503 SlowDown$/],
  ];
  for (const [status, code, summary] of responses) {
    const response = { status, code, message: '', retryAfterMs: null };
    const unknown = classifyResponse({ ...response, trusted: false, host });
    assert.match(unknown.summary, summary);
    assert.match(unknown.detail, new RegExp(`^HTTP ${status}`), 'the log has all of it');
    const trusted = classifyResponse({ ...response, trusted: true, host });
    assert.equal(trusted.summary, trusted.detail);
  }
  for (const code of ['ECONNREFUSED', 'ETIMEDOUT', 'EHOSTUNREACH', 'ENOTFOUND', 'ECONNRESET', 'EPROTO']) {
    const error = Object.assign(new Error('x'), { code });
    const unknown = classifyError(error, { reused: false, trusted: false, host, proxy: null });
    assert.equal(unknown.summary, `the store at ${host} is unreachable`);
    assert.ok(unknown.detail.includes(host) && unknown.detail.endsWith(` (${code})`), unknown.detail);
    assert.equal(
      classifyError(error, { reused: false, trusted: true, host, proxy: null }).summary,
      unknown.detail,
    );
  }
  const certificate = Object.assign(new Error('x'), { code: 'CERT_HAS_EXPIRED' });
  const { summary } = classifyError(certificate, { reused: false, trusted: false, host, proxy: null });
  assert.match(
    summary,
    /^TLS: the certificate of files\.example\.com:443 is not trusted on the agent's machine/,
  );
  assert.equal(
    classifyUnusableSuccess(206, 'without a usable ETag', { trusted: false }).summary,
    'HTTP 2xx without a usable ETag',
  );
});

test('reasons name the address, and errors of a proxy in front of the store are explained', () => {
  const refused = Object.assign(new Error('x'), { code: 'ECONNREFUSED' });
  assert.equal(
    classifyError(refused, { reused: false, trusted: true, host, proxy: null }).summary,
    "nothing listens at files.example.com:443: check the server's S3_PUBLIC_ENDPOINT or S3_ENDPOINT, and that the server is running (ECONNREFUSED)",
  );
  const response = { message: '', retryAfterMs: null, trusted: true, host };
  const tooLarge = classifyResponse({ ...response, status: 413, code: '' });
  assert.match(tooLarge.summary, /^HTTP 413: a part exceeds .*files\.example\.com:443.*client_max_body_size/);
  const signature = classifyResponse({ ...response, status: 403, code: 'SignatureDoesNotMatch' });
  assert.match(signature.summary, /a proxy at files\.example\.com:443 changes the Host header/);
  assert.equal(hostAndPort(new URL('https://files.example.com/k?x=1')), 'files.example.com:443');
  assert.equal(hostAndPort(new URL('http://[::1]/k')), '[::1]:80');
  assert.equal(hostAndPort(new URL('http://127.0.0.1:9000/k')), '127.0.0.1:9000');
});

test('a proxy that requires a password is retried after a minute, and is named only in the agent’s log', () => {
  const proxy = {
    variable: 'HTTPS_PROXY',
    address: 'http://proxy.lan:3128',
    proxyEnv: { HTTPS_PROXY: 'http://proxy.lan:3128' },
  } as const;
  const tunnel = (statusCode: number) =>
    classifyError(Object.assign(new Error('x'), { code: 'ERR_PROXY_TUNNEL', statusCode }), {
      ...{ reused: false, trusted: true, host, proxy },
    });
  const wantsPassword = tunnel(407);
  assert.ok(wantsPassword.act === 'retry' && wantsPassword.afterMs === 60_000);
  assert.match(wantsPassword.detail, /proxy\.lan:3128 asks for a user name and password.*HTTPS_PROXY=/);
  assert.ok(!wantsPassword.summary.includes('proxy.lan'), wantsPassword.summary);
  const isDown = tunnel(502);
  assert.ok(isDown.act === 'retry' && isDown.afterMs === undefined);
});

test('an ETag is short and contains only characters that stores use', () => {
  for (const etag of [
    '"9bb58f26192e4ba00f01e2e7b136bbd8"',
    '"9bb58f26192e4ba00f01e2e7b136bbd8-20"',
    '9bb58f26192e4ba00f01e2e7b136bbd8',
    '"0x8DA1B2C3D4E5F60"',
    '"CJ+Hl5ag/eACEAE="',
    'W/"abc"',
  ]) {
    assert.ok(isEtag(etag), etag);
  }
  for (const etag of [
    '',
    '""',
    '"a b"',
    '"root:x:0:0"x',
    'a\r\nb',
    '<html>',
    `"${'a'.repeat(129)}"`,
    '"é"',
    '"a',
    '{"a":1}',
  ]) {
    assert.ok(!isEtag(etag), etag);
  }
});
