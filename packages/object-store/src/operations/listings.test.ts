import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  md5Base64,
  startStore,
  type StoreFixture,
} from '../../../../test/harness/object-store/store-fixture.ts';
import { elementText, elementTexts } from '../../../../test/harness/object-store/test-client.ts';

let fixture: StoreFixture;
before(async () => {
  fixture = await startStore({ buckets: ['box', 'tree'] });
  for (const key of ['a', 'dir/1', 'dir/2', 'dir/sub/3', 'dir0', 'e/4', 'z']) {
    await fixture.client.call('PUT', `/tree/${key}`, { body: key });
  }
});
after(() => fixture[Symbol.asyncDispose]());

async function list(bucket: string, query: Record<string, string> = {}, version: '1' | '2' = '2') {
  const selector = version === '2' ? { 'list-type': '2' } : {};
  const { status, text } = await fixture.client.call('GET', `/${bucket}`, {
    query: { ...selector, ...query },
  });
  assert.equal(status, 200, text);
  const groups = [...text.matchAll(/<CommonPrefixes><Prefix>([^<]*)/g)].map(([, name]) => name);
  return { keys: elementTexts(text, 'Key'), groups, text };
}

test('keys are listed with prefix, delimiter and start-after', async () => {
  assert.deepEqual((await list('tree')).keys, ['a', 'dir/1', 'dir/2', 'dir/sub/3', 'dir0', 'e/4', 'z']);
  assert.deepEqual((await list('tree', { prefix: 'dir/' })).keys, ['dir/1', 'dir/2', 'dir/sub/3']);
  const top = await list('tree', { delimiter: '/' });
  assert.deepEqual(
    [top.keys, top.groups],
    [
      ['a', 'dir0', 'z'],
      ['dir/', 'e/'],
    ],
  );
  const inner = await list('tree', { delimiter: '/', prefix: 'dir/' });
  assert.deepEqual([inner.keys, inner.groups], [['dir/1', 'dir/2'], ['dir/sub/']]);
  assert.deepEqual((await list('tree', { 'start-after': 'dir/2' })).keys, ['dir/sub/3', 'dir0', 'e/4', 'z']);
});

for (const delimiter of ['', '/']) {
  test(`pages with delimiter "${delimiter}" contain the whole list, each entry once`, async () => {
    const whole = await list('tree', delimiter && { delimiter } ? { delimiter } : {});
    for (const size of ['1', '2', '3']) {
      const keys: string[] = [];
      const groups: Array<string | undefined> = [];
      for (let token: string | undefined, more = true; more;) {
        const page = await list('tree', {
          'max-keys': size,
          delimiter,
          ...(token !== undefined && { 'continuation-token': token }),
        });
        keys.push(...page.keys);
        groups.push(...page.groups);
        token = elementText(page.text, 'NextContinuationToken');
        more = elementText(page.text, 'IsTruncated') === 'true';
      }
      assert.deepEqual([keys, groups], [whole.keys, whole.groups], `pages of ${size}`);
    }
  });
}

test('the older listing continues after a marker, also after a group', async () => {
  const first = await list('tree', { delimiter: '/', 'max-keys': '2' }, '1');
  assert.deepEqual([first.keys, first.groups], [['a'], ['dir/']]);
  const marker = elementText(first.text, 'NextMarker') ?? '';
  const second = await list('tree', { delimiter: '/', marker }, '1');
  assert.deepEqual([second.keys, second.groups], [['dir0', 'z'], ['e/']]);
});

test('no page is larger than 1,000, and invalid sizes are refused', async () => {
  assert.equal(elementText((await list('tree', { 'max-keys': '5000' })).text, 'MaxKeys'), '1000');
  assert.deepEqual((await list('tree', { 'max-keys': '0' })).keys, []);
  const { code } = await fixture.client.call('GET', '/tree', {
    query: { 'list-type': '2', 'max-keys': '-1' },
  });
  assert.equal(code, 'InvalidArgument');
});

const HOSTILE = [
  '../escape', '..', '.', './a/../b', '/leading', 'double//slash', 'trailing/', '%2e%2e/x', '%2F', 'a b', ' a ', 'a+b',
  'a&b<c>"d\'', 'line\nbreak', 'cr\rtab\t', 'ü/日本/😀', '\ue000', '\u{10000}', 'C:\\windows', 'a?b#c', 'nul\u0000', '~',
  'CON', 'a'.repeat(300), '\u0001', 'e\u0301', '\u00e9', '__proto__', "(!*')", 'a=b;c,d', '\u2028',
]; // prettier-ignore

test('any key is stored under exactly its name, and listed in the order of its bytes', async () => {
  const { client } = fixture;
  for (const key of HOSTILE) {
    const put = await client.call('PUT', `/box/${key}`, { body: `body of ${key}` });
    assert.equal(put.status, 200, `${JSON.stringify(key)} ${put.text}`);
  }
  for (const key of HOSTILE) {
    const get = await client.call('GET', `/box/${key}`);
    assert.equal(get.text, `body of ${key}`, JSON.stringify(key));
  }
  const { text } = await list('box', { 'encoding-type': 'url' });
  const listed = elementTexts(text, 'Key').map((key) => decodeURIComponent(key.replaceAll('+', ' ')));
  const expected = [...HOSTILE].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  assert.deepEqual(listed, expected);
});

test('names in XML are escaped, so that they cannot forge elements', async () => {
  const { keys } = await list('box', { prefix: 'a&' });
  assert.deepEqual(keys, ["a&amp;b&lt;c&gt;&quot;d'"]);
});

test('DeleteObjects deletes many keys by their exact names', async () => {
  const { client } = fixture;
  const reference = (key: string): string => key.replaceAll(/[^]/gu, (c) => `&#${c.codePointAt(0)};`);
  const deletable = HOSTILE.filter((key) => key !== 'nul\u0000' && key !== '\u0001');
  const document = `<Delete>${deletable.map((key) => `<Object><Key>${reference(key)}</Key></Object>`).join('')}</Delete>`;
  const bare = await client.call('POST', '/box', { query: { delete: '' }, body: document });
  assert.equal(bare.code, 'InvalidRequest');
  const headers = { 'content-md5': md5Base64(document) };
  const { status, text } = await client.call('POST', '/box', {
    query: { delete: '' },
    body: document,
    headers,
  });
  assert.equal(status, 200, text);
  assert.equal(text.match(/<Deleted>/g)?.length, deletable.length);
  assert.equal((await list('box')).keys.length, HOSTILE.length - deletable.length);
});

test('a document type in a request is refused, so that no entity is expanded', async () => {
  const body = '<!DOCTYPE Delete [<!ENTITY k "z">]><Delete><Object><Key>&k;</Key></Object></Delete>';
  const headers = { 'content-md5': md5Base64(body) };
  const { code } = await fixture.client.call('POST', '/tree', { query: { delete: '' }, body, headers });
  assert.equal(code, 'MalformedXML');
});

test('an unknown element in DeleteObjects is refused, and nothing is deleted', async () => {
  const { client } = fixture;
  const key = '<Key>untouched</Key>';
  await client.call('PUT', '/box/untouched', { body: 'x' });
  const documents: ReadonlyArray<readonly [document: string, outcome: string]> = [
    [`<Object>${key}</Object><Quite>true</Quite>`, '400 MalformedXML'],
    [`<Object>${key}</Object><BypassGovernanceRetention/>`, '400 MalformedXML'],
    [`<Object>${key}<VersionId>1</VersionId></Object>`, '501 NotImplemented'],
    [`<Object>${key}<ETag>"x"</ETag></Object>`, '501 NotImplemented'],
  ];
  for (const [content, outcome] of documents) {
    const body = `<Delete>${content}</Delete>`;
    const headers = { 'content-md5': md5Base64(body) };
    const { status, code } = await client.call('POST', '/box', { query: { delete: '' }, body, headers });
    assert.equal(`${status} ${code}`, outcome, content);
  }
  assert.equal((await client.call('HEAD', '/box/untouched')).status, 200);
  await client.call('DELETE', '/box/untouched');
});
