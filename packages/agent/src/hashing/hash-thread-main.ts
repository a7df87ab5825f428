import { parentPort } from 'node:worker_threads';
import { answerHashRequests } from './answer-hash-requests.ts';

parentPort?.on('message', answerHashRequests);
