import { changedAnswer } from '../s3/broken-answer.ts';
import { StoreBehaviour } from './store-behaviour.ts';

/** versitygw does this without `--keep-alive`; nginx and AWS do it after a number of requests. */
export function closesAfterEveryAnswer(): StoreBehaviour {
  const closing = changedAnswer('closing', () => ({
    headers: { Connection: 'close', 'Keep-Alive': undefined },
  }));
  return new StoreBehaviour('closes the connection after every answer', () => closing);
}

/** SeaweedFS checks the parts' checksums but does not store them. */
export function listsPartsWithoutChecksums(): StoreBehaviour {
  const withoutChecksums = changedAnswer('withoutChecksums', () => ({
    xml: (document) => document.replaceAll(/<(Checksum\w+)>[^<]*<\/\1>/g, ''),
  }));
  return new StoreBehaviour('lists parts without their checksums', ({ call }) =>
    call.operation === 'ListParts' ? withoutChecksums : undefined,
  );
}

/** JuiceFS's gateway does this unless it is configured to store metadata. */
export function dropsUserMetadata(): StoreBehaviour {
  const withoutMetadata = changedAnswer('withoutMetadata', ({ rawHeaders }) => ({
    headers: Object.fromEntries(
      rawHeaders.filter((name) => /^x-amz-meta-/i.test(name)).map((name) => [name, undefined]),
    ),
  }));
  return new StoreBehaviour('drops user metadata', ({ call: { operation } }) =>
    operation === 'HeadObject' || operation === 'GetObject' ? withoutMetadata : undefined,
  );
}
