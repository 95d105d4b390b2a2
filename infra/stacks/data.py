"""What must outlive everything else: tables, the authority's key, and that of tokens which were given out."""

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra.config import Stage
from infra.constructs.authority_key import AuthorityKey
from infra.constructs.tables import LivenessTable, RentalTable
from infra.constructs.token_key import TokenKey


class DataStack(Stack):
    def __init__(self, scope: Construct, construct_id: str, *, stage: Stage) -> None:
        super().__init__(scope, construct_id, termination_protection=stage.keep_data)
        self.rentals = RentalTable(self, "Rentals", stage=stage)
        self.liveness = LivenessTable(self, "Liveness", stage=stage)
        self.token_key = TokenKey(self, "TokenKey", stage=stage)
        self.authority_key = AuthorityKey(self, "Authority", stage=stage)
        CfnOutput(self, "TableName", value=self.rentals.table_name)
        CfnOutput(self, "LivenessTableName", value=self.liveness.table_name)
