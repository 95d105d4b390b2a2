"""Queues: encrypted, reached by TLS alone, and every one with a queue for what could not be processed."""

from aws_cdk import Duration
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra.config import Stage

ATTEMPTS = 5
KEPT = Duration.days(14)


class DeadLetterQueue(sqs.Queue):
    """Kept for two weeks and watched by an alarm: whatever is in it, a person has to look at."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(
            scope,
            construct_id,
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=stage.enforce_tls,
            retention_period=KEPT,
        )


class WorkQueue(Construct):
    """A queue that a function reads. Six times the function's timeout is what Lambda asks of the visibility."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: Stage, reader_timeout_s: int, kept: Duration
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letters = DeadLetterQueue(self, "DeadLetters", stage=stage)
        self.queue = sqs.Queue(
            self,
            "Queue",
            encryption=sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=stage.enforce_tls,
            visibility_timeout=Duration.seconds(6 * reader_timeout_s),
            retention_period=kept,
            dead_letter_queue=sqs.DeadLetterQueue(queue=self.dead_letters, max_receive_count=ATTEMPTS),
        )
