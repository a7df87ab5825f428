import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Manifest, manifestSchema, publishedManifest } from './published-manifest.ts';

const manifest: Manifest = {
  name: 'backhaul-agent',
  version: '1.2.3',
  description: 'Backhaul agent.',
  license: 'Apache-2.0',
  type: 'module',
  bin: { 'backhaul-agent': './bin/backhaul-agent.js' },
  exports: { '.': './src/index.ts', './bin': './bin/backhaul-agent.js', './vectors': './vectors/read.ts' },
  imports: {
    '#main': './src/main.ts',
    '#platform-fetch': { node: './src/node-fetch.ts', default: './src/global-fetch.ts' },
  },
  dependencies: { '@backhaul/protocol': '0.1.0', ws: '^8.23.0' },
  devDependencies: { 'fast-check': '4.10.2' },
  engines: { node: '>=24.5' },
};

test('a published package runs compiled code, without type stripping', () => {
  assert.deepEqual(publishedManifest(manifest, new Map([['@backhaul/protocol', '1.2.3']])), {
    name: 'backhaul-agent',
    version: '1.2.3',
    description: 'Backhaul agent.',
    license: 'Apache-2.0',
    type: 'module',
    bin: { 'backhaul-agent': './bin/backhaul-agent.js' },
    engines: { node: '>=24.5' },
    files: ['bin', 'dist'],
    exports: {
      '.': { types: './dist/index.d.ts', default: './dist/index.js' },
      './bin': './bin/backhaul-agent.js',
    },
    imports: {
      '#main': './dist/main.js',
      '#platform-fetch': { node: './dist/node-fetch.js', default: './dist/global-fetch.js' },
    },
    dependencies: { '@backhaul/protocol': '1.2.3', ws: '^8.23.0' },
  });
});

test('an unknown field stops the build', () => {
  assert.throws(() => manifestSchema.parse({ ...manifest, publishConfig: {} }), /publishConfig/);
});
