import { S3FaultProxy } from './faults/s3/index.ts';

/** What may stand between the programs of a stage; nothing by default. */
export interface StageLinkOptions {
  /** An {@link S3FaultProxy} between everything and the store. */
  readonly faults?: boolean;
}

export interface StageLinks extends AsyncDisposable {
  readonly faults: S3FaultProxy | undefined;
  /** Settings that lead the server and, by its URLs, the agents over them. */
  readonly environment: Readonly<Record<string, string>>;
}

/** @param store Its address. */
export async function startStageLinks(store: string, options: StageLinkOptions): Promise<StageLinks> {
  await using stack = new AsyncDisposableStack();
  const faults = options.faults === true ? stack.use(await S3FaultProxy.start({ target: store })) : undefined;
  const started = stack.move();
  return {
    faults,
    environment: { S3_ENDPOINT: faults?.endpoint ?? store },
    [Symbol.asyncDispose]: () => started.disposeAsync(),
  };
}
