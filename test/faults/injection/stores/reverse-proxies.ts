import type { S3Fault } from '../s3/s3-fault.ts';
import { StoreBehaviour, type StoreDouble } from './store-behaviour.ts';

const TOO_LARGE =
  '<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>\r\n' +
  '<center><h1>413 Request Entity Too Large</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n';

/** nginx with `client_max_body_size`, 1 MiB by default, responds before the body has arrived and discards the body. */
export function limitsBodies({ bytes = 1024 * 1024 }: { bytes?: number } = {}): StoreDouble {
  const refusal: S3Fault = {
    kind: '413',
    apply: async (exchange, { tookEffect }) => {
      // nginx also keeps reading (`lingering_close`): closing with unread bytes would cut off the response.
      await exchange.discardBody();
      await exchange.answer({
        status: 413,
        headers: { Server: 'nginx', 'Content-Type': 'text/html' },
        body: TOO_LARGE,
      });
      tookEffect();
    },
  };
  return () =>
    new StoreBehaviour(`answers 413 to a body above ${bytes} bytes`, ({ headers }) =>
      Number(headers['content-length'] ?? 0) > bytes ? refusal : undefined,
    );
}

/** nginx does this without `proxy_set_header Host $http_host`: the signature covers the name that the client used. */
export function rewritesHost(): StoreBehaviour {
  const rewritten: S3Fault = {
    kind: 'rewritten Host',
    apply: async (exchange, { tookEffect }) => {
      const answer = await exchange.forward({ headers: { Host: 'store.internal' } });
      await exchange.relay(answer);
      tookEffect();
    },
  };
  return new StoreBehaviour('is reached by another name than the signed one', () => rewritten);
}
