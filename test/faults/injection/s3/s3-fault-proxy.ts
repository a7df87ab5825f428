import { once } from 'node:events';
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import type { StoreBehaviour } from '../stores/store-behaviour.ts';
import { CallLog } from './call-log.ts';
import { ConnectionLost } from './connection-lost.ts';
import { FaultRule, type FaultRuleOptions } from './fault-rule.ts';
import { type RandomFaultOptions, RandomFaults } from './random-faults.ts';
import type { S3Call } from './s3-call.ts';
import { S3Exchange } from './s3-exchange.ts';
import { s3OperationOf } from './s3-operation-of.ts';
import { StoreConnection } from './store-connection.ts';

/**
 * A proxy in front of an S3 store that injects faults seen in the field. It forwards calls byte for byte, including
 * `Host`, so that signatures for its own address are valid at the store.
 *
 *     await using faults = await S3FaultProxy.start({ target: store.endpoint });
 *     const lost = faults.next({ operation: 'CompleteMultipartUpload', fault: dropAnswer() });
 *     …
 *     await lost.fired();
 */
export class S3FaultProxy implements AsyncDisposable {
  readonly endpoint: string;
  readonly #target: URL;
  readonly #server: Server;
  readonly #log = new CallLog();
  readonly #connections = new WeakMap<Socket, StoreConnection>();
  readonly #mistakes: unknown[] = [];
  #rules: FaultRule[] = [];
  readonly #behaviour: StoreBehaviour | undefined;
  #random: RandomFaults | undefined;

  private constructor(server: Server, target: URL, behaviour: StoreBehaviour | undefined) {
    this.#server = server;
    this.#target = target;
    this.#behaviour = behaviour;
    this.endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    server.on('connection', (socket) => this.#connections.set(socket, new StoreConnection(target, socket)));
    server.on('request', (incoming, response) => void this.#exchange(incoming, response, false));
    server.on('checkContinue', (incoming, response) => void this.#exchange(incoming, response, true));
  }

  /**
   * @param options.target The store's `http:` URL.
   * @param options.behaviour Permanent behaviour of the store, for calls without a rule or random fault.
   */
  static async start(options: {
    target: string;
    behaviour?: StoreBehaviour | undefined;
  }): Promise<S3FaultProxy> {
    const { target, behaviour } = options;
    const url = new URL(target);
    if (url.protocol !== 'http:') throw new TypeError(`${target} is not an address that starts with http:`);
    // A test may hold a call indefinitely; an idle connection ends with the store's connection.
    const server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 0 });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new S3FaultProxy(server, url, behaviour);
  }

  /** All calls in order of arrival. */
  get calls(): readonly S3Call[] {
    return this.#log.calls;
  }

  /** Adds a rule for the next matching calls. If several rules match a call, the oldest applies. */
  next(options: FaultRuleOptions): FaultRule {
    const rule = new FaultRule(options);
    this.#rules.push(rule);
    return rule;
  }

  /** Injects random faults into calls without a rule, until stopped or called again. */
  randomly(options: RandomFaultOptions): RandomFaults {
    this.#random?.stop();
    return (this.#random = new RandomFaults(options));
  }

  /** Waits for a matching call that has ended, past or future. @see CallLog.ended */
  async ended(...args: Parameters<CallLog['ended']>): Promise<S3Call> {
    return await this.#log.ended(...args);
  }

  /** @throws Error that names each rule that did not fire often enough. */
  assertAllFired(): void {
    const unfired = this.#rules.filter((rule) => !rule.isDone);
    if (unfired.length === 0) return;
    throw new Error(`not all faults fired:\n${unfired.map((rule) => `  ${rule.describe()}`).join('\n')}`);
  }

  /** Removes all rules and ends random faults; held calls continue. The log of calls stays. */
  clear(): void {
    for (const rule of this.#rules) rule.remove();
    this.#rules = [];
    this.#random?.stop();
    this.#random = undefined;
  }

  /** @throws AggregateError of errors from tests' own hooks. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#server.listening) return;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    this.clear();
    await closed;
    if (this.#mistakes.length > 0) throw new AggregateError(this.#mistakes, 'a fault failed by itself');
  }

  async #exchange(
    incoming: IncomingMessage,
    response: ServerResponse,
    awaitsContinue: boolean,
  ): Promise<void> {
    const { method = '', url = '/', headers, socket } = incoming;
    const call = this.#log.begin(method, s3OperationOf(method, url, 'x-amz-copy-source' in headers));
    const connection = this.#connections.get(socket) ?? new StoreConnection(this.#target, socket);
    using _held = connection.hold();
    const target = this.#target;
    const exchange = new S3Exchange({ call, incoming, response, connection, target, awaitsContinue });
    try {
      await this.#handle(exchange);
    } catch (error) {
      if (!(error instanceof ConnectionLost)) this.#mistakes.push(error);
      exchange.drop();
    } finally {
      this.#log.end(call);
    }
  }

  async #handle(exchange: S3Exchange): Promise<void> {
    const rule = this.#rules.find((candidate) => candidate.takes(exchange.call));
    if (rule !== undefined) return await rule.apply(exchange);
    const fault = this.#random?.choose(exchange.call);
    if (fault !== undefined) await this.#random?.apply(fault, exchange);
    else if (this.#behaviour !== undefined) await this.#behaviour.answer(exchange);
    else await exchange.pass();
  }
}
