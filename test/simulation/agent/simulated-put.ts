import type { PartUrls, PutResponse } from '../object-store/part-urls.ts';
import type { Content } from './simulated-file.ts';
import type { Coverage } from '../coverage.ts';

interface PutRequest {
  readonly url: string;
  /** The current content of the file. */
  readonly read: () => Content;
  /** Whether the sender still exists and waits for the response. */
  readonly isListening: () => boolean;
  readonly onResponse: (response: PutResponse) => void;
}

interface PutOptions {
  /** Whether the body was fully read when the PUT was sent. */
  readonly isBuffered: boolean;
  readonly isSlow: boolean;
  readonly coverage: Coverage;
}

/** One PUT in flight: it may arrive long after its sender has exited. */
export class SimulatedPut {
  readonly #request: PutRequest;
  readonly #store: (content: Content) => PutResponse;
  /** Undefined if the body is still being read when it arrives. */
  readonly #body: Content | undefined;
  readonly #coverage: Coverage;
  /** Slow PUTs take longer than most other events. */
  isSlow: boolean;
  /** The sender has given up on it. */
  #isGivenUp = false;

  constructor(request: PutRequest, urls: PartUrls, options: PutOptions) {
    this.isSlow = options.isSlow;
    this.#request = request;
    this.#coverage = options.coverage;
    this.#store = urls.begin(request.url);
    this.#body = options.isBuffered ? request.read() : undefined;
  }

  /** The sender no longer waits for it. */
  get isLate(): boolean {
    return this.#isGivenUp || !this.#request.isListening();
  }

  arrive(): void {
    const response = this.#effect();
    if (response !== undefined && !this.isLate) this.#request.onResponse(response);
  }

  /** Arrives, but the response gets lost. */
  arriveUnacknowledged(): void {
    const response = this.#effect();
    if (response === undefined || this.isLate) return;
    if (response.status === 'stored') this.#coverage.count('PUT stored, its response lost');
    this.#request.onResponse({ status: 'unavailable' });
  }

  /** @returns whether it is still in flight although no sender waits for it. */
  break(): boolean {
    if (this.isLate) return false;
    this.#coverage.count('PUT failed');
    this.#isGivenUp = true;
    this.isSlow = true;
    this.#request.onResponse({ status: 'unavailable' });
    return this.#body !== undefined;
  }

  /** Undefined if the end of the body never arrived. */
  #effect(): PutResponse | undefined {
    const body = this.#body ?? (this.isLate ? undefined : this.#request.read());
    if (body === undefined) return undefined;
    const response = this.#store(body);
    if (response.status === 'stored' && this.isLate)
      this.#coverage.count('PUT landed after its sender had exited');
    return response;
  }
}

/** The PUTs in flight, of all agents. */
export class Puts {
  #inFlight: SimulatedPut[] = [];
  readonly #urls: PartUrls;
  readonly #coverage: Coverage;
  readonly #random: () => number;

  constructor(urls: PartUrls, coverage: Coverage, random: () => number) {
    this.#urls = urls;
    this.#coverage = coverage;
    this.#random = random;
  }

  get inFlight(): readonly SimulatedPut[] {
    return this.#inFlight;
  }

  begin(request: PutRequest): void {
    const options = {
      isBuffered: this.#random() < 0.75,
      isSlow: this.#random() < 0.3,
      coverage: this.#coverage,
    };
    this.#inFlight.push(new SimulatedPut(request, this.#urls, options));
  }

  end(put: SimulatedPut, how: 'arrive' | 'arriveUnacknowledged' | 'break'): void {
    this.#inFlight = this.#inFlight.filter((other) => other !== put);
    if (put[how]() === true) this.#inFlight.push(put);
  }
}
