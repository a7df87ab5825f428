import { parentPort } from 'node:worker_threads';
import { answerHashRequests } from './answer-hash-requests.ts';

/** One file after the other. */
parentPort?.on('message', answerHashRequests);
