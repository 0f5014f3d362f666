// `localhost` is 127.0.0.1 here: nothing listens at ::1, and Node.js 18 tries one address only.

import { setDefaultResultOrder } from 'node:dns';

setDefaultResultOrder('ipv4first');
