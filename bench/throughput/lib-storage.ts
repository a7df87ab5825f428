import { fileURLToPath } from 'node:url';
import { PARALLEL_PARTS, PART_BYTES, type Peer } from './peer.ts';
import { timedCommand } from './timed-command.ts';

const PROGRAM = fileURLToPath(new URL('lib-storage-main.ts', import.meta.url));

export const libStorage: Peer = {
  name: '@aws-sdk/lib-storage',
  send: ({ file, store, signal }) => {
    const { endpoint, bucket } = store;
    const order = { file, endpoint, bucket, partBytes: PART_BYTES, parallel: PARALLEL_PARTS };
    return timedCommand([process.execPath, PROGRAM, JSON.stringify(order)], {
      env: {
        AWS_ACCESS_KEY_ID: store.accessKeyId,
        AWS_SECRET_ACCESS_KEY: store.secretAccessKey,
        AWS_REGION: 'us-east-1',
      },
      signal,
    });
  },
};
