import type { S3Fault } from './s3-fault.ts';
import { type StoreAnswer, changedHeaders } from './store-answer.ts';

/** The store completes the request, but the response lacks its body. Errors pass unchanged. */
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
 * The store completes the request, and the connection breaks during its response: after half of the body or, without a
 * body, within the headers. Errors from the store pass unchanged.
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

/** Changes that {@link changedAnswer} makes to a response. */
export interface AnswerChange {
  readonly headers?: Readonly<Record<string, string | undefined>>;
  /** Changes an XML body. */
  readonly xml?: (document: string) => string;
}

/** The store completes the request, and its response is changed. Only real changes count. */
export function changedAnswer(kind: string, change: (answer: StoreAnswer) => AnswerChange): S3Fault {
  return {
    kind,
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward();
      const { headers = {}, xml } = change(answer);
      const document = xml !== undefined && isXml(answer) ? (await answer.bytes()).toString('latin1') : '';
      const changed = xml?.(document) ?? document;
      await exchange.relay(answer, {
        headers,
        ...(changed !== document && { body: Buffer.from(changed, 'latin1') }),
      });
      const changesHeaders = Object.entries(headers).some(
        ([name, value]) => value !== undefined || headerOf(answer, name) !== undefined,
      );
      if (changesHeaders || changed !== document) tookEffect();
    },
  };
}

/** The store completes the request, and its response lacks the ETag in headers and body. */
export function withoutEtag(): S3Fault {
  return changedAnswer('withoutEtag', () => ({
    headers: { etag: undefined },
    xml: (document) => document.replaceAll(/<ETag>[^<]*<\/ETag>/g, ''),
  }));
}

function isXml(answer: StoreAnswer): boolean {
  return headerOf(answer, 'content-type')?.includes('xml') ?? false;
}

function headerOf({ rawHeaders }: StoreAnswer, name: string): string | undefined {
  const at = rawHeaders.findIndex(
    (header, index) => index % 2 === 0 && header.toLowerCase() === name.toLowerCase(),
  );
  return at === -1 ? undefined : rawHeaders[at + 1];
}
