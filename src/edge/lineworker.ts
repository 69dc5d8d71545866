// A thread of the crew that makes rows of lines.
import { workerData } from 'node:worker_threads';
import { lineTrade } from './linetasks.ts';
import { serve } from './serve.ts';

serve(lineTrade(workerData));
