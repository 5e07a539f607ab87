"""What clients send is checked and added here, wherever that is done."""
