import type { S3Fault } from './s3-fault.ts';
import { changedHeaders } from './store-answer.ts';

/** The store does it, and its answer arrives without its body. A refusal of the store's passes as it is. */
export function emptyBody(): S3Fault {
  return {
    kind: 'emptyBody',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      const bytes = await answer.bytes();
      if (!answer.succeeded || bytes.length === 0) return await exchange.relay(answer);
      await exchange.relay(answer, { body: Buffer.alloc(0) });
      tookEffect();
    },
  };
}

/**
 * The store does it, and the connection breaks amid its answer: after half of the body or, where there is none,
 * within the headers. A refusal of the store's passes as it is.
 */
export function cutBody(): S3Fault {
  return {
    kind: 'cutBody',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      const body = await answer.bytes();
      if (!answer.succeeded) return await exchange.relay(answer);
      const headers = changedHeaders(answer.rawHeaders, {
        'Content-Length': String(body.length),
        'Transfer-Encoding': undefined,
      });
      const lines = headers.flatMap((name, at) => (at % 2 === 0 ? [`${name}: ${headers[at + 1]}\r\n`] : []));
      const head = `HTTP/1.1 ${answer.status} ${answer.statusMessage}\r\n${lines.join('')}\r\n`;
      const sent =
        body.length < 2
          ? Buffer.from(head.slice(0, head.length / 2), 'latin1')
          : Buffer.concat([Buffer.from(head, 'latin1'), body.subarray(0, body.length / 2)]);
      await exchange.breakOff(sent);
      tookEffect();
    },
  };
}

/** The store does it, and its answer lacks the ETag, in the headers and in the body. */
export function withoutEtag(): S3Fault {
  return {
    kind: 'withoutEtag',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      const text = (await answer.bytes()).toString('latin1');
      const isXml = text.startsWith('<?xml');
      const without = isXml ? text.replaceAll(/<ETag>[^<]*<\/ETag>/g, '') : text;
      const hasHeader = answer.rawHeaders.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'etag');
      await exchange.relay(answer, {
        headers: { etag: undefined },
        ...(without !== text && { body: Buffer.from(without, 'latin1') }),
      });
      if (hasHeader || without !== text) tookEffect();
    },
  };
}
