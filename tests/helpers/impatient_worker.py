"""The worker with short deadlines, so that tests need not wait for them."""

from httpapi.worker import SinglePortWorker


class ImpatientWorker(SinglePortWorker):
    request_s = 0.6
    handshake_s = 0.6
    io_timeout_s = 0.6
