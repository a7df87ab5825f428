import assert from 'node:assert/strict';
import { test } from 'node:test';
import tls from 'node:tls';
import { readCertificates } from './certificates.ts';

const [one = '', two = ''] = tls.rootCertificates;
const key = '-----BEGIN PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END PRIVATE KEY-----\n';

function read(pem: string): number | string {
  const result = readCertificates(pem);
  return 'problem' in result ? result.problem : result.certificates.length;
}

test('every certificate of a file is read, with comments and other blocks between them', () => {
  assert.equal(read(one), 1);
  assert.equal(read(`# One\n${one}\n${key}\n---- Two\r\n${two.replaceAll('\n', '\r\n')}`), 2);
  // The output of `openssl x509 -trustout` may have more data after the certificate.
  assert.equal(read(`${one.replaceAll(' CERTIFICATE', ' TRUSTED CERTIFICATE')}\n${two}`), 2);
});

test('a file that is truncated within a block is refused', () => {
  const whole = `${one}\n${two}\n`;
  for (const length of [one.length + 9, one.length + 20, one.length + 300, whole.length - 5]) {
    assert.match(String(read(whole.slice(0, length))), /^is truncated/, String(length));
  }
  // Truncated in the middle, such as a bundle that contains a truncated file.
  assert.match(String(read(`${one.slice(0, 300)}\n${two}`)), /^is truncated/);
});

test('an invalid certificate and a file without certificates are refused', () => {
  const broken = two.replace(/\n.{40}/, '\n');
  assert.match(String(read(`${one}\n${broken}`)), /invalid certificate \(number 2 of 2\)/);
  assert.match(String(read(key)), /no certificate in PEM format/);
  assert.match(String(read('')), /no certificate in PEM format/);
});
