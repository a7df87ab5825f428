import { randomUUID } from 'node:crypto';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { error } from '../s3/error-answer.ts';
import type { S3Exchange } from '../s3/s3-exchange.ts';
import type { S3Fault } from '../s3/s3-fault.ts';
import { StoreBehaviour, type StoreDouble } from './store-behaviour.ts';

interface Version {
  readonly body: string;
  readonly headers: Readonly<Record<string, string>>;
}

const ENABLED =
  '<?xml version="1.0" encoding="UTF-8"?>\n' +
  '<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>Enabled</Status></VersioningConfiguration>';

/**
 * A bucket that stores every version of an object in memory, for small ASCII objects. Each write through the proxy
 * creates a version; deleting the key does not remove it.
 */
export const keepsVersions: StoreDouble = ({ client, bucket }) => {
  const versions = new Map<string, Version>();
  /** Current version IDs by key; a deleted key has none. */
  const current = new Map<string, string>();

  async function keep(key: string): Promise<string> {
    const id = randomUUID();
    current.set(key, id);
    const {
      Body,
      ETag = '',
      Metadata = {},
      ...facts
    } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key, ChecksumMode: 'ENABLED' }));
    const body = (await Body?.transformToString()) ?? '';
    versions.set(id, {
      body,
      headers: {
        // Responses to HEAD need this, because they have no body.
        'Content-Length': String(Buffer.byteLength(body)),
        ETag,
        'Last-Modified': (facts.LastModified ?? new Date()).toUTCString(),
        'Content-Type': facts.ContentType ?? 'application/octet-stream',
        'x-amz-version-id': id,
        ...(facts.ChecksumCRC32 !== undefined && { 'x-amz-checksum-crc32': facts.ChecksumCRC32 }),
        ...(facts.ChecksumType !== undefined && { 'x-amz-checksum-type': facts.ChecksumType }),
        ...Object.fromEntries(Object.entries(Metadata).map(([name, value]) => [`x-amz-meta-${name}`, value])),
      },
    });
    return id;
  }

  const written: S3Fault = {
    kind: 'new version',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      await answer.bytes();
      if (!answer.succeeded) return await exchange.relay(answer);
      await exchange.relay(answer, { headers: { 'x-amz-version-id': await keep(exchange.call.key ?? '') } });
      tookEffect();
    },
  };
  const deleted: S3Fault = {
    kind: 'delete marker',
    apply: async (exchange, { tookEffect }) => {
      current.delete(exchange.call.key ?? '');
      await exchange.relay(await exchange.forward(), {
        headers: { 'x-amz-version-id': randomUUID(), 'x-amz-delete-marker': 'true' },
      });
      tookEffect();
    },
  };

  const shown = (id: string): S3Fault => ({
    kind: 'current version',
    apply: async (exchange, { tookEffect }) => {
      await exchange.relay(await exchange.forward(), { headers: { 'x-amz-version-id': id } });
      tookEffect();
    },
  });

  return new StoreBehaviour('keeps versions', ({ call: { operation, key = '' }, query }) => {
    if (operation === 'GetBucketVersioning')
      return reply(200, { body: ENABLED, headers: { 'Content-Type': 'application/xml' } });
    const asked = query.get('versionId');
    if (asked !== null) return ofVersion(versions, operation === 'DeleteObject' ? 'delete' : 'read', asked);
    if (operation === 'PutObject' || operation === 'CompleteMultipartUpload') return written;
    if (operation === 'DeleteObject') return deleted;
    const id = current.get(key);
    return operation === 'HeadObject' && id !== undefined ? shown(id) : undefined;
  });
};

function ofVersion(versions: Map<string, Version>, action: 'delete' | 'read', id: string): S3Fault {
  const version = versions.get(id);
  if (action === 'delete') {
    versions.delete(id);
    return reply(204, { body: '', headers: { 'x-amz-version-id': id } });
  }
  return version === undefined ? error('NoSuchVersion') : reply(200, version);
}

function reply(status: number, { body, headers }: Version): S3Fault {
  return {
    kind: 'version',
    apply: async (exchange: S3Exchange, { tookEffect }) => {
      await exchange.answer({ status, body, headers });
      tookEffect();
    },
  };
}
